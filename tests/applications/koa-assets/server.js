const fs = require("node:fs");
const Koa = require("koa");

const app = new Koa();
app.use(require("koa-static")("public"));
app.use((context) => {
  context.body = fs.readFileSync("public/main.js", "utf8");
});
app.listen(process.env.PORT || 3000);
