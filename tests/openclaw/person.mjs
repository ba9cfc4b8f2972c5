// A person at OpenClaw's gateway, for tests: says things, and answers when asked to approve.
//
// Each line of stdin is {"method", "params"}, and is sent; each line of stdout is what came: a
// response, or an event of those that a test waits for. `person.mjs URL`, the token in
// GATEWAY_TOKEN.

import { createInterface } from "node:readline";

const WANTED = new Set([
  "chat", "exec.approval.requested", "exec.approval.resolved",
  "plugin.approval.requested", "plugin.approval.resolved",
]);
const CONNECT = {
  minProtocol: 4,
  maxProtocol: 4,
  client: { id: "gateway-client", version: "1.0.0", platform: "linux", mode: "backend" },
  role: "operator",
  scopes: ["operator.admin", "operator.approvals", "operator.read", "operator.write"],
  caps: ["approvals", "exec-approvals", "plugin-approvals"],
  auth: { token: process.env.GATEWAY_TOKEN },
};

let socket;
let isLeaving = false;
let count = 0;

const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const send = (id, method, params) =>
  socket.send(JSON.stringify({ type: "req", id, method, params }));

function connect() {
  socket = new WebSocket(process.argv[2]);
  let retryMs = -1;
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.event === "connect.challenge") {
      send("connect", "connect", CONNECT);
    } else if (frame.id === "connect" && frame.error?.retryable) {
      retryMs = frame.error.retryAfterMs ?? 500;
      socket.close();
    } else if (frame.type === "res" || WANTED.has(frame.event)) {
      tell(frame);
    }
  };
  socket.onerror = () => {};
  socket.onclose = () => {
    if (isLeaving || retryMs < 0) {
      process.exit(0);
    }
    setTimeout(connect, retryMs);
  };
}

connect();
createInterface({ input: process.stdin })
  .on("line", (line) => {
    count += 1;
    const { method, params } = JSON.parse(line);
    send(`r${count}`, method, params);
  })
  .on("close", () => {
    isLeaving = true;
    socket.close();
  });
