// A module of its own, so that the client's users do not get these dependencies.
module github.com/datacrawl/datacrawl/clients/go/internal/candidates

go 1.26.0

replace github.com/datacrawl/datacrawl/clients/go => ../..

require (
	connectrpc.com/connect v1.21.1
	github.com/datacrawl/datacrawl/clients/go v0.0.0-00010101000000-000000000000
	golang.org/x/net v0.60.0
	google.golang.org/grpc v1.85.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260817212433-ac3dfec99bb1 // indirect
)
