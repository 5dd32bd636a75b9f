// The echo server on Boost.Asio's C++20 coroutines: one thread, a coroutine per connection.
//
//   asio_echo <port> <bufsize>

#include <boost/asio.hpp>

#include <memory>

#include "server.h"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto use_result = asio::as_tuple(asio::use_awaitable);

asio::awaitable<void> echo(tcp::socket socket, std::size_t buffer_size) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  for (;;) {
    const auto [read_error, received] =
        co_await socket.async_read_some(asio::buffer(buffer.get(), buffer_size), use_result);
    if (read_error) break;
    const auto [write_error, sent] =
        co_await asio::async_write(socket, asio::buffer(buffer.get(), received), use_result);
    if (write_error) break;
  }
}

asio::awaitable<void> serve(tcp::acceptor acceptor, std::size_t buffer_size) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(use_result);
    if (!error) asio::co_spawn(acceptor.get_executor(), echo(std::move(socket), buffer_size), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const server_options options = server_start(argc, argv);
  asio::io_context context{1};
  tcp::acceptor acceptor(context);
  acceptor.assign(tcp::v4(), server_listen(options.port, 0));
  asio::co_spawn(context, serve(std::move(acceptor), options.buffer_size), asio::detached);
  server_ready();
  context.run();
}
