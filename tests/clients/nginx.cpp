// HTTP and HTTPS by libcurl's easy interface, from an nginx that is slow to send.
//
//   nginx HTTP_URL HTTPS_URL AUTHORITY FOLDER        what the server has under /N is the file FOLDER/N
#include <string>

#include "download.hpp"

using clients::expect;
int main(int, char** argv) {
  return clients::session([&] {
    const std::string http = argv[1], https = argv[2], authority = argv[3], folder = argv[4];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    clients::run({.name = "libcurl, http", .most_ms = 2500, .apart_ms = 1},
                 [&](int i) { clients::check_download(http, authority, folder, i); });
    clients::run({.name = "libcurl, https", .most_ms = 3000, .apart_ms = 2},
                 [&](int i) { clients::check_download(https, authority, folder, i); });
    std::string body;
    expect(clients::download(http + "/none", "", body) == CURLE_HTTP_RETURNED_ERROR,
           "a missing file is no error");
    expect(clients::download(https + "/0", "", body) == CURLE_PEER_FAILED_VERIFICATION,
           "any certificate is taken");
    curl_global_cleanup();
  });
}
