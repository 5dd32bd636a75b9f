/**
 * @file
 * coir for C: fibers for code that cannot use templates. Link coir; link coir-patch to make blocking calls
 * yield.
 */
#ifndef COIR_COIR_H
#define COIR_COIR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A handle to a fiber; released by coir_join or coir_detach. */
typedef struct coir_fiber coir_fiber;

/**
 * Makes a fiber that will run `function(argument)` on this thread. It is queued and runs when this fiber next
 * waits or yields. Never suspends. Returns its handle, or NULL with errno: ENOMEM (no memory, mappings or
 * room for a stack), EINVAL (`function` is NULL, or a COIR_* variable is wrong).
 */
coir_fiber* coir_spawn(void* (*function)(void*), void* argument);

/**
 * Waits until `fiber` has ended, releases the handle, and stores what its function returned in `*result`
 * unless that is NULL. Suspends. Returns 0, or an errno and leaves the handle valid: ECANCELED or ETIMEDOUT
 * (the caller's wait was interrupted), EDEADLK (it is the caller itself, or the caller is the main fiber and
 * nothing can ever wake one of the process's fibers: all were described on stderr). If the fiber was
 * cancelled before it began, `*result` is NULL.
 */
int coir_join(coir_fiber* fiber, void** result);

/** Releases the handle; the fiber runs on. Never suspends. */
void coir_detach(coir_fiber* fiber);

/**
 * Asks the fiber to end: its present or next wait, and each one after it, fails with ECANCELED. One that has
 * not begun never will. Never suspends; any thread.
 */
void coir_cancel(coir_fiber* fiber);

/** Lets the other ready fibers of this thread run. Returns 0, or ECANCELED or ETIMEDOUT. */
int coir_yield(void);

/** Sleeps for `nanoseconds`, never less. Suspends. Returns 0, ECANCELED or ETIMEDOUT; EINVAL if negative. */
int coir_sleep(int64_t nanoseconds);

#ifdef __cplusplus
}
#endif

#endif
