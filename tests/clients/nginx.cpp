// HTTP and HTTPS by libcurl's easy interface, from an nginx that is slow to send.
//
//   nginx HTTP_URL HTTPS_URL AUTHORITY FOLDER        what the server has under /N is the file FOLDER/N
#include <curl/curl.h>

#include <coir/coir.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "crowd.hpp"

using clients::expect;

namespace {

std::size_t append(char* part, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(part, size * count);
  return size * count;
}

// With an empty `authorities`, those of the system.
CURLcode download(const std::string& url, const std::string& authorities, std::string& body) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  expect(curl != nullptr, "curl_easy_init");
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  if (!authorities.empty()) curl_easy_setopt(curl.get(), CURLOPT_CAINFO, authorities.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  return curl_easy_perform(curl.get());
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  expect(file.is_open(), path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void check_download(const std::string& base, const std::string& authorities, const std::string& folder,
                    int i) {
  const std::string name = "/" + std::to_string(i);
  std::string body;
  const CURLcode code = download(base + name, authorities, body);
  expect(code == CURLE_OK, base + name + ": " + curl_easy_strerror(code));
  expect(body == contents(folder + name), base + name + ": not what the server has");
}

}  // namespace

int main(int, char** argv) {
  return clients::session([&] {
    const std::string http = argv[1], https = argv[2], authority = argv[3], folder = argv[4];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    clients::run({.name = "libcurl, http", .most_ms = 2500, .apart_ms = 1},
                 [&](int i) { check_download(http, authority, folder, i); });
    clients::run({.name = "libcurl, https", .most_ms = 3000, .apart_ms = 2},
                 [&](int i) { check_download(https, authority, folder, i); });
    std::string body;
    expect(download(http + "/none", "", body) == CURLE_HTTP_RETURNED_ERROR, "a missing file is no error");
    expect(download(https + "/0", "", body) == CURLE_PEER_FAILED_VERIFICATION, "any certificate is taken");
    curl_global_cleanup();
  });
}
