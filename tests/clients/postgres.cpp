// PostgreSQL by libpq.
//
//   postgres CONNINFO
#include <cerrno>
#include <coir/coir.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "postgres.hpp"

using namespace clients::postgres;
using clients::expect;

namespace {

constexpr int crowd_size = 100;

void expect_error(PGconn* c, const std::string& text, const char* state) {
  const result r = query(c, text);
  const char* got = PQresultErrorField(r.get(), PG_DIAG_SQLSTATE);
  expect(PQresultStatus(r.get()) == PGRES_FATAL_ERROR && got != nullptr && std::strcmp(got, state) == 0,
         text + ": not the error " + state);
  expect(value(query(c, "select 1")) == "1", "the connection serves on after an error");
}

// Until another connection sees the backend of `c` in the midst of a query.
void wait_until_active(PGconn* witness, PGconn* c) {
  const std::string text = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and pid = " +
                           std::to_string(PQbackendPID(c));
  while (value(query(witness, text)) != "1") coir::this_fiber::yield();
}

// libpq takes the ECANCELED of its poll for the end of the query, not of the connection, which has to be
// reset: on another fiber its next answer would be the cancelled query's.
void check_cancelled(PGconn* witness, PGconn* c) {
  const auto expect_cancelled = [c](const char* text) {
    const result r = query(c, text);
    expect(PQresultStatus(r.get()) == PGRES_FATAL_ERROR,
           std::string(text) + ": succeeds on a cancelled fiber");
    expect(std::strstr(PQerrorMessage(c), std::strerror(ECANCELED)) != nullptr, PQerrorMessage(c));
  };
  const auto cancelled = coir::spawn([&] {
    expect_cancelled("select pg_sleep(60)");
    expect_cancelled("select 1");
  });
  wait_until_active(witness, c);
  cancelled.cancel();
  cancelled.get();
  PQreset(c);
  expect(value(query(c, "select 2")) == "2", "the connection serves after a reset");
}

}  // namespace

int main(int, char** argv) {
  return clients::session([&] {
    std::vector<connection> all(crowd_size);
    clients::run({.name = "libpq, connect", .most_ms = 2000},
                 [&](int i) { all[static_cast<std::size_t>(i)] = connect(argv[1]); });
    clients::run({.name = "libpq, select pg_sleep(1)", .most_ms = 1250}, [&](int i) {
      const std::string text = "select " + std::to_string(i) + " * 7 from pg_sleep(1)";
      expect(value(query(all[static_cast<std::size_t>(i)].get(), text)) == std::to_string(i * 7), text);
    });
    clients::run({.name = "libpq, errors", .most_ms = 1000, .apart_ms = 1}, [&](int i) {
      expect_error(all[static_cast<std::size_t>(i)].get(), "select 1 / 0", "22012");
    });
    check_cancelled(all[0].get(), all[1].get());
  });
}
