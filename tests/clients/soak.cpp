// All clients at once on one thread, with cancellations and timeouts at random moments; in the end nothing
// may be left.
//
//   soak CONNINFO REDIS_PORT HTTP_URL HTTPS_URL AUTHORITY FILES CERTIFICATE KEY DATABASE
//
// SOAK_SECONDS says how long (600 by default), SOAK_SEED in which order what is tried. A fifth of the time
// warms up: what libraries keep for good is there when the figures that count are taken.
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <vector>

#include "download.hpp"
#include "postgres.hpp"
#include "redis.hpp"
#include "sqlite.hpp"
#include "support/process.hpp"
#include "tls.hpp"

using clients::expect;

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using milliseconds = std::chrono::milliseconds;

constexpr std::size_t workers = 80;
constexpr std::size_t heap_may_grow = 1 << 20, memory_may_grow = 16 << 20;

double number_from(const char* variable, double otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atof(text) : otherwise;
}

struct arguments {
  std::string database_info;
  int redis_port;
  std::string http, https, authority, files;
  clients::tls::context server, client;
  std::string database;
};

struct holdings {
  std::size_t descriptors = unit::open_descriptors();
  std::size_t heap = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
  std::size_t resident = unit::resident_bytes();

  void print(const char* when) const {
    std::printf("soak: %s, %s: %zu descriptors, %zu KiB of heap, %zu KiB resident\n",
                coir::inspect::reactor_name(), when, descriptors, heap / 1024, resident / 1024);
  }
};

class soak {
 public:
  soak(const arguments& a, std::uint64_t seed) : a_(a), random_(seed) {}

  // Keeps all workers busy, and interrupts some, for as long; then waits for them.
  void run(std::chrono::duration<double> how_long) {
    std::vector<worker> all(workers);
    const auto end = steady::now() + how_long;
    while (steady::now() < end && failures_ == 0) {
      for (worker& w : all)
        if (!w.fiber.valid() || w.fiber.ready()) start(w);
      worker& unlucky = all[below(workers)];
      if (below(2) == 0) {
        unlucky.interrupted = true;
        unlucky.fiber.cancel();
      }
      coir::this_fiber::sleep_for(milliseconds(below(10)));
    }
    for (const worker& w : all) w.fiber.join();
    expect(failures_ == 0, "an operation failed that nobody had interrupted");
  }

  void stop() { servers_.stop(); }

  void print() const { std::printf("soak: %zu operations done, %zu interrupted\n", done_, interrupted_); }

 private:
  struct worker {
    coir::fiber<void> fiber;
    bool interrupted = false;
  };

  void start(worker& w) {
    w.interrupted = false;
    w.fiber = coir::spawn([this, &w] {
      std::optional<coir::timeout> limit;
      if (below(4) == 0) limit.emplace(milliseconds(below(300)));
      try {
        operation();
        ++done_;
      } catch (const std::exception& error) {
        if (!w.interrupted && !(limit && limit->expired())) {
          std::fprintf(stderr, "soak: %s\n", error.what());
          ++failures_;
        }
        ++interrupted_;
      }
    });
  }

  void operation() {
    const int i = static_cast<int>(below(100));
    switch (below(7)) {
      case 0:
        return query(i);
      case 1:
        return wait_for_list(i);
      case 2:
        return clients::check_download(a_.http, a_.authority, a_.files, i);
      case 3:
        return clients::check_download(a_.https, a_.authority, a_.files, i);
      case 4:
        return clients::tls::ask(a_.client, servers_.address(), i);
      case 5:
        return insert(i);
      default:
        return command(i);
    }
  }

  void query(int i) {
    using namespace clients::postgres;
    const connection c = connect(a_.database_info.c_str());
    const std::string text = "select " + std::to_string(i) + " from pg_sleep(0.1)";
    expect(value(clients::postgres::query(c.get(), text)) == std::to_string(i), text);
  }

  void wait_for_list(int i) {
    using namespace clients::redis;
    const connection c = connect(a_.redis_port);
    const std::string value(static_cast<std::size_t>(i) * 100, 'x');
    expect(text(clients::redis::command(c, "SET key:%d %b", i, value.data(), value.size())) == "OK", "SET");
    expect(clients::redis::command(c, "BLPOP empty 0.1")->type == REDIS_REPLY_NIL, "BLPOP");
    expect(text(clients::redis::command(c, "GET key:%d", i)) == value, "GET");
  }

  void insert(int i) {
    using namespace clients::sqlite;
    const connection c = open(a_.database.c_str());
    execute(c, "insert into lines values (" + std::to_string(i) +
                   "); delete from lines where number = " + std::to_string(i));
  }

  void command(int i) {
    const std::string number = std::to_string(i);
    const std::unique_ptr<FILE, int (*)(FILE*)> f(
        ::popen(("(sleep 0.1; echo " + number + ") 2>/dev/null").c_str(), "re"), ::pclose);
    char line[32] = {};
    expect(f != nullptr && std::fgets(line, sizeof line, f.get()) != nullptr && line == number + "\n",
           "popen");
  }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  const arguments& a_;
  std::mt19937_64 random_;
  std::size_t done_ = 0, interrupted_ = 0, failures_ = 0;
  // The other side of an interrupted client gets an error, too.
  clients::tls::listener servers_ = clients::tls::listener([this](int fd) {
    try {
      clients::tls::serve(a_.server, fd, 100'000);
    } catch (const std::runtime_error&) {
    }
  });
};

}  // namespace

int main(int, char** argv) {
  const double seconds = number_from("SOAK_SECONDS", 600);
  const auto seed = static_cast<std::uint64_t>(number_from("SOAK_SEED", std::random_device()()));
  std::printf("soak: %.0f seconds, seed %llu\n", seconds, static_cast<unsigned long long>(seed));
  return clients::session([&] {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const arguments a = {argv[1],
                         std::stoi(argv[2]),
                         argv[3],
                         argv[4],
                         argv[5],
                         argv[6],
                         clients::tls::server_context(argv[7], argv[8]),
                         clients::tls::client_context(argv[5]),
                         argv[9]};
    clients::sqlite::execute(clients::sqlite::open(a.database.c_str()), "create table lines (number int)");
    soak s(a, seed);
    s.run(std::chrono::duration<double>(seconds / 5));
    const holdings before;
    before.print("warm");
    s.run(std::chrono::duration<double>(seconds * 4 / 5));
    const holdings after;
    after.print("in the end");
    s.print();
    s.stop();
    curl_global_cleanup();
    expect(after.descriptors == before.descriptors, "descriptors leak");
    expect(after.heap <= before.heap + heap_may_grow && after.resident <= before.resident + memory_may_grow,
           "memory leaks");
    expect(::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD, "a child is left");
  });
}
