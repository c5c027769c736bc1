import type { Micros } from "../../core/clock.ts";
import { Fault } from "../../core/fault.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/** How many to return: 1 to 1000, 100 for 0. @throws Fault FIELD_INVALID */
export function pageLimit(pageSize: number): number {
  if (pageSize === 0) return DEFAULT_PAGE;
  if (pageSize >= 1 && pageSize <= MAX_PAGE) return pageSize;
  throw new Fault("FIELD_INVALID", `page_size must be 1 to ${MAX_PAGE}, is ${pageSize}.`, { field: "page_size" });
}

/** A page token that is a name, of this form. @throws Fault FIELD_INVALID */
export function pageName(pageToken: string, form: RegExp): string {
  if (pageToken === "" || form.test(pageToken)) return pageToken;
  throw new Fault("FIELD_INVALID", "page_token must be a next_page_token.", { field: "page_token" });
}

/** A page token that is a time. @throws Fault FIELD_INVALID */
export function pageTime(pageToken: string): Micros | null {
  if (pageToken === "") return null;
  if (/^\d{1,16}$/.test(pageToken)) return Number(pageToken);
  throw new Fault("FIELD_INVALID", "page_token must be a next_page_token.", { field: "page_token" });
}
