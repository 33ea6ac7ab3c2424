#include "runtime/apart.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <system_error>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

enum Ending : int { done = 0, run_error = 1, input_error = 2, check_error = 3 };

[[noreturn]] void end_with(Ending ending, std::string const& sentence, int out) {
  [[maybe_unused]] auto const written = ::write(out, sentence.data(), sentence.size());
  ::_exit(ending);
}

[[noreturn]] void run_here(unsigned limit_s, comm::FunctionRef<void()> action, int out) {
  for (int const signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM}) std::signal(signal, SIG_DFL);
  rlimit const none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);   // a crash's own words
  ::alarm(limit_s);
  try {
    action();
    errno = 0;
    if (std::fflush(stdout) != 0) throw RunError(std::string{"the result could not be written to stdout ("} + std::strerror(errno) + "); give it a place that takes it");
    end_with(done, "", out);
  } catch (InputError const& error) {
    end_with(input_error, error.what(), out);
  } catch (CheckError const& error) {
    std::fflush(stdout);   // what was checked before
    end_with(check_error, error.what(), out);
  } catch (std::exception const& error) {
    end_with(run_error, error.what(), out);
  }
}

std::string all_of(int in) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    auto const bytes = ::read(in, part.data(), part.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(bytes));
  }
}

}   // namespace

namespace {

struct Ended {
  int status = 0;
  std::string sentence;
  bool late() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM; }
};

Ended run_once(unsigned limit_s, comm::FunctionRef<void()> action) {
  std::fflush(stdout);   // the child has a copy of what waits there
  std::array<int, 2> pipe{};
  pid_t const child = ::pipe(pipe.data()) == 0 ? ::fork() : -1;
  if (child < 0) throw RunError("no process can be started to read a file with; end others, or raise the limit of processes (ulimit -u)");
  if (child == 0) run_here(limit_s, action, pipe[1]);
  ::close(pipe[1]);
  Ended ended{0, all_of(pipe[0])};
  ::close(pipe[0]);
  while (::waitpid(child, &ended.status, 0) < 0 && errno == EINTR) {}
  return ended;
}

}   // namespace

// A child has the locks of threads that it does not have: should one of them be held for ever, another child is not likely to meet it again.
void run_apart(unsigned limit_s, std::string const& otherwise, comm::FunctionRef<void()> action) {
  Ended ended = run_once(limit_s / 2 + 1, action);
  if (ended.late()) ended = run_once(limit_s, action);
  bool const said = WIFEXITED(ended.status) && (WEXITSTATUS(ended.status) == done || !ended.sentence.empty());   // a sanitizer ends a crash with a code of its own
  if (!said) throw RunError(otherwise);
  if (WEXITSTATUS(ended.status) == input_error) throw InputError(ended.sentence);
  if (WEXITSTATUS(ended.status) == check_error) throw CheckError(ended.sentence);
  if (WEXITSTATUS(ended.status) != done) throw RunError(ended.sentence);
}

void run_apart_on(std::filesystem::path const& path, std::string const& option, comm::FunctionRef<void()> action) {
  constexpr std::uintmax_t slowest_read = 1 << 20;   // bytes a second
  std::error_code unknown;
  auto const bytes = std::filesystem::file_size(path, unknown);
  auto const limit_s = static_cast<unsigned>(20 + (unknown ? 0 : bytes / slowest_read));
  run_apart(limit_s, path.string() + " is damaged: HDF5 does not come to an end with it; give a file that " + option + " of `pikv generate` wrote", action);
}

}   // namespace pikv::runtime
