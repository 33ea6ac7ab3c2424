#include "runtime/agree.hpp"

#include <fmt/format.h>

#include <exception>
#include <new>

namespace pikv::runtime {

Outcome outcome_of(comm::FunctionRef<void()> action) {
  try {
    action();
  } catch (AgreedError const& error) {
    return {error.code, error.what()};
  } catch (InputError const& error) {
    return {2, error.what()};
  } catch (CheckError const& error) {
    return {3, error.what()};
  } catch (Error const& error) {
    return {1, error.what()};
  } catch (std::bad_alloc const&) {
    return {1, "memory ran out; give a smaller --kv-budget or --batch, or use more ranks"};
  } catch (std::exception const& error) {
    return {1, fmt::format("something went wrong inside pikv ({}); please report it with the command", error.what())};
  }
  return {};
}

void agree(comm::World& world, double deadline_s, comm::FunctionRef<void()> local) {
  auto const mine = outcome_of(local);
  std::string const message = mine.code == 0 ? "" : fmt::format("{}{}", mine.code, mine.sentence);   // the code is one digit
  auto const trouble = world.first_trouble(message, world.in(deadline_s));
  if (!trouble) return;
  auto const sentence = trouble->text.substr(1);
  throw AgreedError{{trouble->text.front() - '0', trouble->rank == 0 ? sentence : fmt::format("rank {}: {}", trouble->rank, sentence)}};
}

}  // namespace pikv::runtime
