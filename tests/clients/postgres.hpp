// A PostgreSQL connection by libpq.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>

#include "crowd.hpp"

namespace clients::postgres {

struct finish {
  void operator()(PGconn* c) const { PQfinish(c); }
  void operator()(PGresult* r) const { PQclear(r); }
};
using connection = std::unique_ptr<PGconn, finish>;
using result = std::unique_ptr<PGresult, finish>;

inline connection connect(const char* info) {
  connection c(PQconnectdb(info));
  expect(PQstatus(c.get()) == CONNECTION_OK, std::string("connect: ") + PQerrorMessage(c.get()));
  return c;
}

inline result query(PGconn* c, const std::string& text) {
  return result(PQexec(c, text.c_str()));
}

inline std::string value(const result& r) {
  expect(PQresultStatus(r.get()) == PGRES_TUPLES_OK, std::string("query: ") + PQresultErrorMessage(r.get()));
  return PQgetvalue(r.get(), 0, 0);
}

}  // namespace clients::postgres
