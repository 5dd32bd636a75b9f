// The descriptions of fibers, for the layers above that may not reach into lib/sched.
#pragma once

#include "sched/describe.hpp"
#include "wait/waiter.hpp"
