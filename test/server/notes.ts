import { create, createFileRegistry, type DescMethod, type DescService } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

const file = create(FileDescriptorProtoSchema, {
  name: "test/notes.proto",
  syntax: "proto3",
  package: "test",
  messageType: [
    {
      name: "Note",
      field: [
        {
          name: "text",
          jsonName: "text",
          number: 1,
          type: FieldDescriptorProto_Type.STRING,
          label: FieldDescriptorProto_Label.OPTIONAL,
        },
      ],
    },
  ],
  service: [
    {
      name: "Notes",
      method: [{ name: "Watch", inputType: ".test.Note", outputType: ".test.Note", serverStreaming: true }],
    },
  ],
});

/** A service with one method, which answers a note with a stream of them: for what holds for every stream. */
export const Notes = createFileRegistry(file, () => undefined).getService("test.Notes") as DescService;

type Streaming = DescMethod & { readonly methodKind: "server_streaming" };
export const WATCH = Notes.method["watch"] as Streaming;
export const WATCH_PATH = "/test.Notes/Watch";
