import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ReflectionService } from "@grpc/reflection";
import { file_datacrawl_authz_v1_authorize_service } from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { file_google_rpc_error_details } from "@datacrawl/proto/google/rpc/error_details_pb";
import { file_grpc_health_v1_health } from "@datacrawl/proto/grpc/health/v1/health_pb";

type Package = ConstructorParameters<typeof ReflectionService>[0];

/** The details of a refusal are among them, so that grpcurl can show them. */
const REFLECTED = [
  file_datacrawl_authz_v1_authorize_service,
  file_grpc_health_v1_health,
  file_google_rpc_error_details,
];

/**
 * Reflection of what the gRPC port serves, in grpc.reflection's v1 and v1alpha. The descriptors are those in the generated
 * code, so that no .proto file is read at run time and none can differ from what is served. (grpc-health-check has some of its
 * own, from protobufjs, whose names of map entries Go's tools refuse.)
 */
export function reflection(): ReflectionService {
  const files = new Set<DescFile>();
  for (const file of REFLECTED) addWithImports(file, files);
  return new ReflectionService(packageOf([...files].map(encodeFile)));
}

/** A file and all that it imports. */
function addWithImports(file: DescFile, files: Set<DescFile>): void {
  if (files.has(file)) return;
  files.add(file);
  for (const dependency of file.dependencies) addWithImports(dependency, files);
}

function encodeFile(file: DescFile): Buffer {
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto));
}

/** The service looks at nothing but the files, which it takes from any definition of a package. */
function packageOf(fileDescriptorProtos: Buffer[]): Package {
  return { files: { format: "Protocol Buffer 3 EnumDescriptorProto", type: {}, fileDescriptorProtos } };
}
