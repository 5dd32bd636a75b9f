// What concerns all who wait for one descriptor reaches all of them: no wake-up stays with who has no use for
// it.
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <map>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

constexpr int several = 3;

// Of several connects one hears why, the others EPIPE since Linux 6.6, and ECONNABORTED before.
std::string told(int error) {
  return error == ECONNABORTED || error == EPIPE ? "an end" : name_of_error(error);
}

// Several flows make the same call; notes how many come back from it, and with what. `rescue` ends those that
// do not.
template <class Call, class End, class Rescue>
void all_hear(log& o, const std::string& what, Call call, End end, Rescue rescue) {
  std::atomic<int> back{0};
  long results[several];
  int errors[several];
  {
    std::vector<std::unique_ptr<flow>> flows;
    for (int i = 0; i < several; ++i)
      flows.push_back(std::make_unique<flow>(what, [&, i](log&) {
        errno = untouched;
        const long r = call(i);
        errors[i] = errno;
        results[i] = r;
        ++back;
      }));
    settle();
    o.say("%s: %d returned", what.c_str(), back.load());
    end();
    settle();
    for (int i = 0; i < 60 && back < several; ++i) nap(5);
    const int heard = back;
    o.say("%s: %d returned", what.c_str(), heard);
    if (heard < several) rescue();
    flows.clear();
    if (heard < several) return;
  }
  std::map<std::string, int> counts;
  for (int i = 0; i < several; ++i) ++counts[results[i] < 0 ? told(errors[i]) : std::to_string(results[i])];
  for (const auto& [result, count] : counts) o.say("%s: %d times %s", what.c_str(), count, result.c_str());
}

descriptor unix_listener(const scratch_path& path) {
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  descriptor l(COIR_MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  COIR_MUST(bind(l, reinterpret_cast<const sockaddr*>(&address), size));
  COIR_MUST(listen(l, 4));
  return l;
}

char buffer[64];
const iovec one = {buffer, sizeof buffer};

}  // namespace

COIR_ROW("sharing: shutdown of a listener ends every accept") {
  listener tcp;
  all_hear(
      o, "tcp", [&](int) { return accept(tcp.fd, nullptr, nullptr); },
      [&] { COIR_OBSERVE(o, shutdown(tcp.fd, SHUT_RDWR)); }, [&] { tcp.fd.close(); });
  const scratch_path path("listener");
  descriptor local = unix_listener(path);
  all_hear(
      o, "unix", [&](int) { return accept4(local, nullptr, nullptr, SOCK_CLOEXEC); },
      [&] { COIR_OBSERVE(o, shutdown(local, SHUT_RDWR)); }, [&] { local.close(); });
}

COIR_ROW("sharing: the end of a pipe ends every splice, tee and vmsplice") {
  both_ends e = make(kind::pipe);
  const both_ends to = make(kind::pipe);
  const auto end = [&] { e.b.close(); };
  const auto rescue = [&] { e.a.close(); };
  all_hear(
      o, "splice", [&](int) { return splice(e.a, nullptr, to.b, nullptr, 10, 0); }, end, rescue);
  e = make(kind::pipe);
  all_hear(
      o, "tee", [&](int) { return tee(e.a, to.b, 10, 0); }, end, rescue);
  e = make(kind::pipe);
  all_hear(
      o, "vmsplice", [&](int) { return vmsplice(e.a, &one, 1, 0); }, end, rescue);
  for (const kind k : sockets) {
    e = make(k);
    all_hear(
        o, std::string("splice from ") + name_of(k),
        [&](int) { return splice(e.a, nullptr, to.b, nullptr, 10, 0); }, end, rescue);
  }
}

COIR_ROW("sharing: the end of a pipe's readers ends every splice, tee and vmsplice into it") {
  both_ends e;
  both_ends from[several];
  for (both_ends& f : from) {
    f = make(kind::pipe);
    write_all(f.b, "hello");
  }
  const auto renew = [&] {
    e = make(kind::pipe);
    fill(e.b);
  };
  const auto end = [&] { e.a.close(); };
  const auto rescue = [&] { e.b.close(); };
  renew();
  all_hear(
      o, "splice", [&](int i) { return splice(from[i].a, nullptr, e.b, nullptr, 5, 0); }, end, rescue);
  renew();
  all_hear(
      o, "tee", [&](int i) { return tee(from[i].a, e.b, 5, 0); }, end, rescue);
  renew();
  all_hear(
      o, "vmsplice", [&](int) { return vmsplice(e.b, &one, 1, 0); }, end, rescue);
  const descriptor f = scratch_file("0123456789");
  renew();
  all_hear(
      o, "sendfile",
      [&](int) {
        off_t at = 0;
        return sendfile(e.b, f, &at, 5);
      },
      end, rescue);
}

COIR_ROW("sharing: the end of the peer ends every write, send and sendfile") {
  const descriptor f = scratch_file("0123456789");
  for (const kind k : streams) {
    both_ends e;
    const auto renew = [&] {
      e = make(k);
      fill(e.b);
    };
    const auto end = [&] { e.a.close(); };
    const auto rescue = [&] { e.b.close(); };
    const std::string name = name_of(k);
    renew();
    all_hear(
        o, name + " write", [&](int) { return write(e.b, "more", 4) < 0 ? 0 : 1; }, end, rescue);
    if (k == kind::pipe) continue;
    renew();
    all_hear(
        o, name + " send", [&](int) { return send(e.b, "more", 4, 0) < 0 ? 0 : 1; }, end, rescue);
    renew();
    all_hear(
        o, name + " sendfile",
        [&](int) {
          off_t at = 0;
          return sendfile(e.b, f, &at, 5) < 0 ? 0 : 1;
        },
        end, rescue);
  }
}

COIR_ROW_WITH(one_thread, "sharing: every connect on one connecting socket hears of its end") {
  full_listener full;
  descriptor from = tcp_socket();
  all_hear(
      o, "shut down", [&](int) { return connect(from, full.where.where(), listener::size); },
      [&] { COIR_OBSERVE(o, shutdown(from, SHUT_RDWR)); }, [&] { from.close(); });
  from = tcp_socket(SOCK_NONBLOCK);
  COIR_OBSERVE(o, connect(from, full.where.where(), listener::size));
  set_nonblocking(from, false);
  all_hear(
      o, "joined", [&](int) { return connect(from, full.where.where(), listener::size); },
      [&] { COIR_OBSERVE(o, shutdown(from, SHUT_RDWR)); }, [&] { from.close(); });
}

COIR_ROW("sharing: shutdown of a datagram socket reaches every receiver") {
  for (const kind k : datagrams) {
    both_ends e;
    const auto renew = [&] { e = make(k); };
    const auto end = [&] { COIR_MUST(shutdown(e.a, SHUT_RDWR)); };
    const auto rescue = [&] { e.a.close(); };
    const std::string name = name_of(k);
    renew();
    all_hear(
        o, name + " recv", [&](int) { return recv(e.a, buffer, sizeof buffer, 0); }, end, rescue);
    renew();
    all_hear(
        o, name + " read", [&](int) { return read(e.a, buffer, sizeof buffer); }, end, rescue);
    renew();
    all_hear(
        o, name + " recvfrom",
        [&](int) {
          sockaddr_storage who;
          socklen_t size = sizeof who;
          return recvfrom(e.a, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&who), &size);
        },
        end, rescue);
  }
}

COIR_ROW("sharing: a reset reaches every receiver, also beside one that has received a part") {
  both_ends e = make(kind::tcp);
  std::atomic<int> back{0};
  const auto receive = [&](log&) {
    char data[10];
    recv(e.a, data, sizeof data, MSG_WAITALL);
    ++back;
  };
  {
    flow first("receiver", receive);
    settle();
    write_all(e.b, "abc");
    settle();
    flow second("receiver", receive), third("receiver", receive);
    settle();
    o.say("%d returned", back.load());
    const linger off = {1, 0};
    COIR_MUST(setsockopt(e.b, SOL_SOCKET, SO_LINGER, &off, sizeof off));
    e.b.close();
    settle();
    for (int i = 0; i < 60 && back < 3; ++i) nap(5);
    o.say("%d returned", back.load());
    if (back < 3) e.a.close();
  }
}

COIR_ROW("sharing: who waits for room elsewhere leaves the data of a pipe to the others") {
  for (const bool tees : {false, true}) {
    const both_ends e = make(kind::pipe), full = make(kind::pipe), empty = make(kind::pipe);
    fill(full.b);
    const auto to = [&](int fd) {
      return [&, fd](log&) { tees ? tee(e.a, fd, 10, 0) : splice(e.a, nullptr, fd, nullptr, 10, 0); };
    };
    flow stuck("stuck", to(full.b));
    settle();
    flow other("other", to(empty.b));
    settle();
    write_all(e.b, "hello");
    for (int i = 0; i < 60 && !other.done(); ++i) nap(5);
    o.say("%s: the other %s, %s", tees ? "tee" : "splice", other.state(), stuck.state());
    if (!other.done()) write_all(e.b, "again");
    if (!tees) write_all(e.b, "world");
    read_all(full.a, 65536);
  }
}

COIR_ROW("sharing: who takes a part leaves the rest of a pipe to the others, whatever the call") {
  const both_ends e = make(kind::pipe), to = make(kind::pipe);
  const descriptor null(COIR_MUST(open("/dev/null", O_WRONLY | O_CLOEXEC)));
  std::atomic<int> back{0};
  {
    flow first("splice", [&](log& s) {
      COIR_OBSERVE(s, splice(e.a, nullptr, to.b, nullptr, 2, 0));
      ++back;
    });
    settle();
    flow second("vmsplice", [&](log& s) {
      char data[2];
      const iovec two = {data, 2};
      COIR_OBSERVE(s, vmsplice(e.a, &two, 1, 0));
      ++back;
    });
    settle();
    flow third("read", [&](log& s) {
      char data[2];
      COIR_OBSERVE(s, read(e.a, data, 2));
      ++back;
    });
    settle();
    flow fourth("splice", [&](log& s) {
      COIR_OBSERVE(s, splice(e.a, nullptr, null, nullptr, 2, 0));
      ++back;
    });
    settle();
    write_all(e.b, "12345678");
    settle();
    for (int i = 0; i < 60 && back < 4; ++i) nap(5);
    o.say("%d returned", back.load());
    for (int i = 0; i < 60 && back < 4; ++i) {
      set_nonblocking(e.b, true);
      write_all(e.b, "12");
      set_nonblocking(e.b, false);
      nap(5);
    }
  }
}

COIR_ROW("sharing: a count for three is taken by three, also from an eventfd") {
  const descriptor counter(COIR_MUST(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)));
  all_hear(
      o, "eventfd",
      [&](int) {
        eventfd_t value = 0;
        return eventfd_read(counter, &value);
      },
      [&] { eventfd_write(counter, several); }, [&] { eventfd_write(counter, several); });
}
