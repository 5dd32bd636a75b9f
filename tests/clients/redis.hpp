// A Redis connection by hiredis.
#pragma once

#include <hiredis/hiredis.h>

#include <memory>
#include <string>

#include "crowd.hpp"

namespace clients::redis {

struct release {
  void operator()(redisContext* c) const { redisFree(c); }
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using connection = std::unique_ptr<redisContext, release>;
using reply = std::unique_ptr<redisReply, release>;

inline connection connect(int port) {
  connection c(redisConnect("127.0.0.1", port));
  expect(c != nullptr && c->err == 0, c ? c->errstr : "redisConnect");
  return c;
}

template <class... Args>
reply command(const connection& c, const char* format, Args... args) {
  reply r(static_cast<redisReply*>(redisCommand(c.get(), format, args...)));
  expect(r != nullptr, std::string(format) + ": " + c->errstr);
  return r;
}

inline std::string text(const reply& r) {
  expect(r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS, "the reply is no string");
  return {r->str, r->len};
}

}  // namespace clients::redis
