import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ReflectionService } from "@grpc/reflection";
import { service as healthService } from "grpc-health-check";
import { file_datacrawl_authz_v1_authorize_service } from "../../gen/datacrawl/authz/v1/authorize_service_pb.ts";

type Package = ConstructorParameters<typeof ReflectionService>[0];

/**
 * Reflection of what the gRPC port serves, in grpc.reflection's v1 and v1alpha. The descriptors are those in the generated
 * code, so that no .proto file is read at run time and none can differ from what is served.
 */
export function reflection(): ReflectionService {
  const authorize = [...filesOf(file_datacrawl_authz_v1_authorize_service)].map(encodeFile);
  const health = Object.values(healthService).flatMap((method) => method.requestType.fileDescriptorProtos);
  return new ReflectionService(packageOf([...authorize, ...health]));
}

/** A file and all that it imports. */
function filesOf(file: DescFile, seen = new Set<DescFile>()): Set<DescFile> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const dependency of file.dependencies) filesOf(dependency, seen);
  return seen;
}

function encodeFile(file: DescFile): Buffer {
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto));
}

/** The service looks at nothing but the files, which it takes from any definition of a package. */
function packageOf(fileDescriptorProtos: Buffer[]): Package {
  return { files: { format: "Protocol Buffer 3 EnumDescriptorProto", type: {}, fileDescriptorProtos } };
}
