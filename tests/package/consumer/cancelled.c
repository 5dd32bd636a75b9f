/* Cancels a thread that waits in read(2), which coir-run has to leave a cancellation point. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int ends[2];

static void* receive(void* nothing) {
  char byte;
  (void)nothing;
  return read(ends[0], &byte, 1) == 1 ? &ends : NULL;
}

int main(void) {
  pthread_t thread;
  void* result = NULL;
  if (pipe(ends) != 0 || pthread_create(&thread, NULL, receive, NULL) != 0) return 1;
  alarm(20);
  if (pthread_cancel(thread) != 0 || pthread_join(thread, &result) != 0) return 1;
  puts(result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
  return 0;
}
