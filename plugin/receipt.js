// A receipt of one approval; `pveops.engine.consent_receipt` tells its form and checks it.

import { createHmac, randomBytes } from "node:crypto";

const LIFE_S = 120;
const MAX_APPROVER = 64;

/** key: bytes. allowed: {hash, approver}. The receipt is good for one plan, for two minutes. */
export function makeReceipt(key, { hash, approver }, now = Date.now()) {
  const expires = Math.floor(now / 1000) + LIFE_S;
  const who = Buffer.from(approver, "utf8").subarray(0, MAX_APPROVER).toString("hex");
  const body = `pr1.${hash}.${expires}.${who}.${randomBytes(16).toString("hex")}`;
  return `${body}.${createHmac("sha256", key).update(body).digest("hex")}`;
}
