//! An application that is built and started in a moment: Node without packages has nothing to build, unlike Python with its
//! virtual environment (0.1 s against seconds), so that many faults fit into a short test.

use crate::installation::Repository;

pub const SERVER: &str = r#"
const http = require("node:http");
const server = http.createServer((request, response) => {
  const answers = { "/pid": () => String(process.pid), "/env": () => JSON.stringify(process.env) };
  const answer = (answers[request.url] || (() => GREETING))();
  setTimeout(() => response.end(answer + "\n"), request.url.startsWith("/slow") ? 500 : 0);
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.env.PORT), "0.0.0.0", () => console.log("listening"));
process.on("SIGTERM", () => process.exit(0));
"#;

/// Commits the application with a greeting; returns the commit id.
pub fn greet(repository: &Repository, greeting: &str) -> String {
    repository.commit("server.js", &format!("const GREETING = {greeting:?};\n{SERVER}"))
}

/// Commits a program in the application's place.
pub fn program(repository: &Repository, text: &str) -> String {
    repository.commit("server.js", text)
}

/// A service of a manifest, of the repository `app`, with more lines of its own.
pub fn service(name: &str, more: &str) -> String {
    format!(
        "  {name}:\n    source: {{ repository: ./app }}\n    build: {{ runtime: nodejs20, start: node server.js }}\n{more}"
    )
}

/// A manifest of one service.
pub fn manifest(name: &str, more: &str) -> String {
    format!("services:\n{}", service(name, more))
}
