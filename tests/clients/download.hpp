// Downloads by libcurl's easy interface.
#pragma once

#include <curl/curl.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "crowd.hpp"

namespace clients {

inline std::size_t append(char* part, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(part, size * count);
  return size * count;
}

// With an empty `authorities`, those of the system.
inline CURLcode download(const std::string& url, const std::string& authorities, std::string& body) {
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

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  expect(file.is_open(), path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void check_download(const std::string& base, const std::string& authorities, const std::string& folder,
                           int i) {
  const std::string name = "/" + std::to_string(i);
  std::string body;
  const CURLcode code = download(base + name, authorities, body);
  expect(code == CURLE_OK, base + name + ": " + curl_easy_strerror(code));
  expect(body == contents(folder + name), base + name + ": not what the server has");
}

}  // namespace clients
