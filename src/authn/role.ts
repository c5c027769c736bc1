/** What an operator may do; each role may also do what the ones before it may. */
export const ROLES = ["viewer", "reviewer", "operator"] as const;

export type Role = (typeof ROLES)[number];
