import { parentPort, workerData } from "node:worker_threads";
import { type ApartRequest, type ApartResult, tryFiles } from "./apart.ts";

parentPort?.postMessage(tryFiles(workerData as ApartRequest) satisfies ApartResult);
