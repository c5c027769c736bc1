import { Fault } from "../../core/fault.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/** How many to return: 1 to 1000, 100 for 0. @throws Fault FIELD_INVALID */
export function pageLimit(pageSize: number): number {
  if (pageSize === 0) return DEFAULT_PAGE;
  if (pageSize >= 1 && pageSize <= MAX_PAGE) return pageSize;
  throw new Fault("FIELD_INVALID", `page_size must be 1 to ${MAX_PAGE}, is ${pageSize}.`, { field: "page_size" });
}
