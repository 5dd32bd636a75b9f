#ifndef THIRD_H
#define THIRD_H

#ifdef __cplusplus
extern "C" {
#endif

int third_sleep(unsigned milliseconds);
/* Wait for up to 64 bytes; return how many came. */
long third_recv(int fd, unsigned long size);
long third_read(int fd, unsigned long size);
/* Two connected sockets that keep messages apart; 0, or -1. */
int third_pair(int ends[2]);
long third_send(int fd, const char* data, unsigned long size);

#ifdef __cplusplus
}
#endif

#endif
