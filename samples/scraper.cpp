// Shows: many downloads at once by unmodified, blocking libcurl, on one thread; the slow server is in here
// too. Try:   ./scraper    ./scraper -n 1000    ./scraper http://127.0.0.1:8000/a http://127.0.0.1:8000/b

#include <curl/curl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <coir/coir.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "slow_server.hpp"

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr const char* usage =
    "usage: scraper [-n N] [URL...]\n"
    "  -n N   so many downloads (default 100, or one of each URL)\n"
    "  URL    what to fetch, in turn; without: from a server inside this program that takes 1 s to answer";

struct options {
  std::size_t downloads = 0;
  std::vector<std::string> urls;
};

struct outcome {
  std::size_t bytes = 0;
  CURLcode code = CURLE_OK;
};

options parse(int argc, char** argv) {
  options result;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "-n") {
      if (++i == argc) throw std::invalid_argument("-n: the number is missing");
      const std::string_view text = argv[i];
      const auto [end, error] = std::from_chars(text.begin(), text.end(), result.downloads);
      if (error != std::errc{} || end != text.end() || result.downloads < 1 || result.downloads > 100'000) {
        throw std::invalid_argument("-n: '" + std::string(text) + "' is not a number from 1 to 100000");
      }
    } else if (argument.empty() || argument.front() == '-') {
      throw std::invalid_argument("'" + std::string(argument) + "': no such option\n" + usage);
    } else {
      result.urls.emplace_back(argument);
    }
  }
  if (result.downloads == 0) result.downloads = result.urls.empty() ? 100 : result.urls.size();
  return result;
}

std::size_t count_bytes(char*, std::size_t size, std::size_t count, void* bytes) {
  *static_cast<std::size_t*>(bytes) += size * count;
  return size * count;
}

// What any blocking program does with libcurl; nothing in here knows of coir.
outcome download(const std::string& url) {
  outcome result;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) throw std::bad_alloc();
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "127.0.0.1,localhost");
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 60L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, count_bytes);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &result.bytes);
  result.code = curl_easy_perform(curl.get());
  return result;
}

// Threads of this process now, as the kernel counts them. (libcurl itself starts one to resolve a host name.)
int count_threads() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> status(std::fopen("/proc/self/status", "re"),
                                                               std::fclose);
  char line[256];
  int threads = 0;
  while (status && std::fgets(line, sizeof line, status.get()) != nullptr) {
    if (std::sscanf(line, "Threads: %d", &threads) == 1) break;
  }
  return threads;
}

// On a terminal a bar that is drawn over itself; elsewhere a line for each tenth.
void show_progress(std::size_t done, std::size_t total, double seconds) {
  static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  static std::size_t tenths = 0;
  if (terminal) {
    constexpr std::size_t width = 40;
    std::string bar(width * done / total, '#');
    bar.resize(width, '.');
    std::printf("\r[%s] %zu/%zu  %.1f s", bar.c_str(), done, total, seconds);
  } else if (done * 10 / total > tenths) {
    tenths = done * 10 / total;
    std::printf("%zu of %zu done\n", done, total);
  }
  std::fflush(stdout);
}

int scrape(options wanted) {
  std::optional<slow_server> server;
  if (wanted.urls.empty()) {
    server.emplace(1, 10'000);
    for (std::size_t i = 0; i < wanted.downloads; ++i) wanted.urls.push_back(server->url(std::to_string(i)));
  }

  const auto start = steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(steady_clock::now() - start).count(); };
  std::vector<coir::fiber<outcome>> downloads;
  for (std::size_t i = 0; i < wanted.downloads; ++i) {
    downloads.push_back(coir::spawn(download, wanted.urls[i % wanted.urls.size()]));
  }
  auto all = coir::spawn([downloads] { return coir::gather(downloads); });
  int threads = count_threads();
  while (!all.join_for(50ms)) {
    const auto done = std::ranges::count_if(downloads, [](const auto& one) { return one.ready(); });
    show_progress(static_cast<std::size_t>(done), downloads.size(), elapsed());
    threads = std::max(threads, count_threads());
  }
  const double seconds = elapsed();
  const std::vector<outcome> outcomes = all.get();
  show_progress(downloads.size(), downloads.size(), seconds);
  if (::isatty(STDOUT_FILENO) == 1) std::puts("");

  std::size_t ok = 0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].code == CURLE_OK) {
      ++ok;
      bytes += outcomes[i].bytes;
    } else {
      std::fprintf(stderr, "scraper: %s: %s\n", wanted.urls[i % wanted.urls.size()].c_str(),
                   curl_easy_strerror(outcomes[i].code));
    }
  }
  std::printf("%zu downloads, %zu ok, %zu bytes, %.2f s, %d thread%s\n", outcomes.size(), ok, bytes, seconds,
              threads, threads == 1 ? "" : "s");
  return ok == outcomes.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  const options wanted = parse(argc, argv);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;  // a download here takes four descriptors, with the server's end
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);  // as for any program that uses libcurl with CURLOPT_NOSIGNAL
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    throw std::runtime_error("libcurl cannot be initialised");
  return scrape(wanted);
} catch (const std::invalid_argument& error) {
  std::fprintf(stderr, "scraper: %s\n", error.what());
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "scraper: %s\n", error.what());
  return 1;
}
