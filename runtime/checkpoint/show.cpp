#include "runtime/checkpoint/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

namespace pikv::runtime {

namespace {

std::int64_t in_phase(CheckpointReader const& checkpoint, Phase phase) {
  return std::ranges::count(checkpoint.requests(), phase, &SavedRequest::phase);
}

std::string attributes_text(std::string const& title, Attributes const& attributes) {
  std::string text = fmt::format("\n{}\n", title);
  for (Attribute const& attribute : attributes)
    text += fmt::format("  {:<20} {}\n", printable(attribute.name, 60),
                        printable(std::visit([](auto const& value) { return fmt::format("{}", value); }, attribute.value), 200));
  return text;
}

std::string facts_text(CheckpointReader const& checkpoint) {
  CheckpointFacts const& facts = checkpoint.facts();
  std::string text = fmt::format("{}\n", checkpoint.path().string());
  auto const line = [&](char const* name, auto const& value) { text += fmt::format("  {:<20} {}\n", name, value); };
  line("saved", printable(facts.saved, 40));
  line("why", printable(facts.reason, 60));
  line("step", facts.step);
  line("clock", fmt::format("{:.3f} s", facts.clock_s));
  line("ranks", fmt::format("{} on {} host{}", facts.ranks, facts.hosts, facts.hosts == 1 ? "" : "s"));
  line("pikv", fmt::format("{} ({})", printable(facts.version, 40), printable(facts.commit, 60)));
  line("fingerprint", hex(facts.fingerprint));
  line("file", fmt::format("{} bytes", checkpoint.file_bytes()));
  line("requests", fmt::format("{} done, {} running, {} waiting", in_phase(checkpoint, Phase::done), in_phase(checkpoint, Phase::running),
                               in_phase(checkpoint, Phase::waiting)));
  line("pages", fmt::format("{} of {} bytes", checkpoint.pages().size(), facts.payload_bytes));
  return text;
}

std::string requests_text(CheckpointReader const& checkpoint) {
  std::string text = fmt::format("\n{:>7} {:<8} {:<7} {:>5} {:>7} {:>10} {:>8}  {:<32}  {}\n", "request", "phase", "finish", "home", "prompt",
                                 "generated", "in pages", "stream", "id");
  for (SavedRequest const& saved : checkpoint.requests()) {
    bool const done = saved.phase == Phase::done, running = saved.phase == Phase::running;
    text += fmt::format("{:>7} {:<8} {:<7} {:>5} {:>7} {:>10} {:>8}  {:<32}  {}\n", saved.request.index, to_string(saved.phase),
                        done ? to_string(saved.result.finish) : "-", saved.phase == Phase::waiting ? "-" : std::to_string(saved.result.home),
                        saved.request.prompt.size(), fmt::format("{}/{}", saved.result.tokens.size(), saved.request.max_new_tokens), saved.length,
                        running ? fmt::format("{:016x}{:016x}", saved.stream.hi, saved.stream.lo) : "-", printable(saved.request.id, 40));
  }
  return text;
}

std::string pages_text(CheckpointReader const& checkpoint) {
  std::map<std::int32_t, std::pair<std::uint64_t, std::uint64_t>> by_rank;   // at homes, at owners
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> by_stream;
  for (PageRow const& page : checkpoint.pages()) {
    auto& [home, owner] = by_rank[page.rank];
    ++(page.indexed != 0 ? owner : home);
    ++by_stream[{page.stream_hi, page.stream_lo}];
  }
  std::string text = fmt::format("\n{:>7} {:>8} {:>16} {:>18}\n", "rank", "pages", "at their home", "away as an owner's");
  for (auto const& [rank, pages] : by_rank)
    text += fmt::format("{:>7} {:>8} {:>16} {:>18}\n", rank, pages.first + pages.second, pages.first, pages.second);
  text += fmt::format("\n{:<32} {:>8}\n", "stream", "pages");
  for (auto const& [stream, pages] : by_stream) text += fmt::format("{:016x}{:016x} {:>8}\n", stream.first, stream.second, pages);
  return text;
}

constexpr char const* columns = "{:>12} {:<20} {:>5} {:>6} {:>7} {:>7} {:>8} {:>12}  {:<18} {}\n";

}   // namespace

std::string printable(std::string const& text, std::size_t most) {
  std::string safe = text.substr(0, most);
  std::ranges::replace_if(
      safe, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return text.size() > most ? safe + "..." : safe;
}

std::string list_heading() {
  return fmt::format(fmt::runtime(columns), "step", "saved", "ranks", "done", "running", "waiting", "pages", "bytes", "why", "checkpoint");
}

std::string list_line(CheckpointReader const& checkpoint) {
  CheckpointFacts const& facts = checkpoint.facts();
  return fmt::format(fmt::runtime(columns), facts.step, printable(facts.saved, 40), facts.ranks, in_phase(checkpoint, Phase::done),
                     in_phase(checkpoint, Phase::running), in_phase(checkpoint, Phase::waiting), checkpoint.pages().size(), checkpoint.file_bytes(),
                     printable(facts.reason, 60), checkpoint.path().string());
}

std::string list_line(std::filesystem::path const& path, std::string const& state) {
  return fmt::format(fmt::runtime(columns), "-", "-", "-", "-", "-", "-", "-", "-", state, path.string());
}

std::string show_text(CheckpointReader const& checkpoint) {
  CheckpointFacts const& facts = checkpoint.facts();
  return facts_text(checkpoint) + attributes_text("options as given", facts.options) + attributes_text("model", facts.model) +
         requests_text(checkpoint) + pages_text(checkpoint);
}

}   // namespace pikv::runtime
