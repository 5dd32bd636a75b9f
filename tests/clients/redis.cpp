// Redis by hiredis.
//
//   redis PORT
#include <coir/coir.hpp>
#include <string>
#include <vector>

#include "redis.hpp"

using namespace clients::redis;
using clients::expect;

namespace {

constexpr int crowd_size = 100;

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

    clients::run({.name = "hiredis, connect", .most_ms = 1000, .apart_ms = 1},
                 [&](int i) { all[static_cast<std::size_t>(i)] = connect(port); });
    clients::run({.name = "hiredis, set, blpop for a second, get", .most_ms = 1500}, [&](int i) {
      const std::string value(static_cast<std::size_t>(i) * 100, static_cast<char>('a' + i % 26));
      expect(text(command(at(i), "SET key:%d %b", i, value.data(), value.size())) == "OK", "SET");
      expect(command(at(i), "BLPOP empty:%d 1", i)->type == REDIS_REPLY_NIL, "BLPOP of an empty list");
      expect(text(command(at(i), "GET key:%d", i)) == value, "GET");
    });
    clients::run({.name = "hiredis, blpop woken by another fiber's lpush", .most_ms = 2000, .apart_ms = 1},
                 [&](int i) {
                   const auto other =
                       coir::spawn(push_when_blocked, port, command(at(i), "CLIENT ID")->integer, i);
                   const reply r = command(at(i), "BLPOP list:%d 0", i);
                   expect(r->type == REDIS_REPLY_ARRAY && r->elements == 2, "BLPOP: no pair");
                   expect(std::string(r->element[1]->str) == "item " + std::to_string(i), "BLPOP: the item");
                   other.get();
                 });
  });
}
