const http = require("node:http");
const { WebSocketServer } = require("ws");

const server = http.createServer((_request, response) => response.end("chat by websocket\n"));
const rooms = new WebSocketServer({ server });
rooms.on("connection", (socket) => {
  socket.send("welcome");
  socket.on("message", (text) => rooms.clients.forEach((client) => client.send(`said ${text}`)));
});
// A hard-coded port, as many have it.
server.listen(18102, () => console.log("chat on 18102"));
