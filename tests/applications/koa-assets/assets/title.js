export const title = "pinboard by koa";
