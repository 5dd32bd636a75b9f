#include "support/session.hpp"

int main(int argc, char** argv) {
  return unit::run_session(argc, argv);
}
