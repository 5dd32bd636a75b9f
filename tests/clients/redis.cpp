// Redis by hiredis.
//
//   redis PORT
#include <hiredis/hiredis.h>

#include <coir/coir.hpp>
#include <memory>
#include <string>
#include <vector>

#include "crowd.hpp"

using clients::expect;

namespace {

struct release {
  void operator()(redisContext* c) const { redisFree(c); }
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using connection = std::unique_ptr<redisContext, release>;
using reply = std::unique_ptr<redisReply, release>;

constexpr int crowd_size = 100;

connection connect(int port) {
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

std::string text(const reply& r) {
  expect(r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS, "the reply is no string");
  return {r->str, r->len};
}

// Gives connection `id` what it waits for, once it does.
void push_when_blocked(int port, long long id, int i) {
  const connection c = connect(port);
  while (text(command(c, "CLIENT LIST ID %lld", id)).find(" flags=b ") == std::string::npos) {
  }
  expect(command(c, "LPUSH list:%d %s", i, ("item " + std::to_string(i)).c_str())->integer == 1, "LPUSH");
}

}  // namespace

int main(int, char** argv) {
  return clients::session([&] {
    const int port = std::stoi(argv[1]);
    std::vector<connection> all(crowd_size);
    const auto at = [&](int i) -> const connection& { return all[static_cast<std::size_t>(i)]; };

    clients::run({.name = "hiredis, connect", .most_ms = 1000},
                 [&](int i) { all[static_cast<std::size_t>(i)] = connect(port); });
    clients::run({.name = "hiredis, set, blpop for a second, get", .most_ms = 1500}, [&](int i) {
      const std::string value(static_cast<std::size_t>(i) * 100, static_cast<char>('a' + i % 26));
      expect(text(command(at(i), "SET key:%d %b", i, value.data(), value.size())) == "OK", "SET");
      expect(command(at(i), "BLPOP empty:%d 1", i)->type == REDIS_REPLY_NIL, "BLPOP of an empty list");
      expect(text(command(at(i), "GET key:%d", i)) == value, "GET");
    });
    clients::run({.name = "hiredis, blpop woken by another fiber's lpush", .most_ms = 2000}, [&](int i) {
      const auto other = coir::spawn(push_when_blocked, port, command(at(i), "CLIENT ID")->integer, i);
      const reply r = command(at(i), "BLPOP list:%d 0", i);
      expect(r->type == REDIS_REPLY_ARRAY && r->elements == 2, "BLPOP: no pair");
      expect(std::string(r->element[1]->str) == "item " + std::to_string(i), "BLPOP: the item");
      other.get();
    });
  });
}
