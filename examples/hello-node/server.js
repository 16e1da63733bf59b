// A web application without dependencies: says hello from Node.js.
const http = require("node:http");

const port = Number(process.env.PORT || 8080);
const server = http.createServer((request, response) => {
  console.log(`${request.method} ${request.url}`);
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end("Hello from towpath and Node.js\n");
});
server.listen(port, "0.0.0.0", () => console.log(`listening on port ${port}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
