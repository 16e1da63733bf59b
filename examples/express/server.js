// An Express application. Its dependencies are locked in package-lock.json.
const express = require("express");

const app = express();
app.get("/", (_request, response) => response.type("text").send("Hello from Express\n"));
app.get("/health", (_request, response) => response.json({ status: "ok" }));

const port = Number(process.env.PORT || 8080);
const server = app.listen(port, "0.0.0.0", () => console.log(`listening on port ${port}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
