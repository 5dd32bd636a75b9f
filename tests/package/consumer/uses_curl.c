/* A program that knows libcurl and nothing of coir. */
#include <curl/curl.h>
#include <stdio.h>

int main(void) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return 1;
  puts("main ran");
  curl_global_cleanup();
  return 0;
}
