// Shows: simultaneous queries by unmodified, blocking libpq and hiredis, on one thread, in the time of one.
// Try:   ./databases 'host=/run/postgresql dbname=postgres' 127.0.0.1:6379     (or a socket: /run/redis.sock)

#include <hiredis/hiredis.h>
#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using query = std::function<bool()>;  // false: a wrong answer

// The server sleeps for a second and answers what it was asked for.
query connect_postgres(const std::string& parameters, int number) {
  const std::shared_ptr<PGconn> server(PQconnectdb(parameters.c_str()), PQfinish);
  if (PQstatus(server.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(server.get()));
  return [server, sent = std::to_string(number)] {
    const std::string text = "SELECT pg_sleep(1), " + sent;
    const std::shared_ptr<PGresult> result(PQexec(server.get(), text.c_str()), PQclear);
    if (PQntuples(result.get()) != 1) throw std::runtime_error(PQerrorMessage(server.get()));
    return sent == PQgetvalue(result.get(), 0, 1);
  };
}

// Nobody pushes to the list, so the answer is nil, after a second.
query connect_redis(const std::string& address, int number) {
  const auto colon = address.rfind(':');
  const std::shared_ptr<redisContext> server(
      colon == std::string::npos
          ? redisConnectUnix(address.c_str())
          : redisConnect(address.substr(0, colon).c_str(), std::atoi(address.c_str() + colon + 1)),
      redisFree);
  if (server->err != 0) throw std::runtime_error("redis at " + address + ": " + server->errstr);
  return [server, number] {
    const std::shared_ptr<void> reply(redisCommand(server.get(), "BLPOP coir:%d 1", number), freeReplyObject);
    if (!reply) throw std::runtime_error(std::string("redis: ") + server->errstr);
    return static_cast<redisReply*>(reply.get())->type == REDIS_REPLY_NIL;
  };
}

// f(0), f(1), … f(n - 1), each on a fiber of its own; their results.
template <class F>
auto at_once(int n, F f) {
  coir::group all;  // if one fails, its end cancels the others
  std::vector<decltype(all.spawn(f, 0))> fibers;
  for (int i = 0; i < n; ++i) fibers.push_back(all.spawn(f, i));
  return coir::gather(fibers);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fputs("usage: databases POSTGRES REDIS\n", stderr);
    return 2;
  }
  const std::vector<query> queries = at_once(
      100, [&](int i) { return i % 2 == 0 ? connect_postgres(argv[1], i) : connect_redis(argv[2], i); });
  std::printf("%zu connections\n", queries.size());
  std::fflush(stdout);

  const auto start = std::chrono::steady_clock::now();
  const auto right = at_once(100, [&](int i) { return queries[static_cast<std::size_t>(i)](); });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%td of 100 answers are right, %.2f s\n", std::ranges::count(right, true), elapsed.count());
} catch (const std::exception& error) {
  std::fprintf(stderr, "databases: %s\n", error.what());
  return 1;
}
