#include "comm/faults.hpp"

#include "comm/fault_clock.hpp"

namespace pikv::comm {
namespace {

class FaultyWorldOver : public FaultyWorld {
 public:
  FaultyWorldOver(World& inner, FaultPlan const& plan) : inner_{inner}, clock_{*this, {plan, inner.rank()}} {}
  FaultyWorldOver(FaultyWorldOver const&) = delete;   // the clock refers to it

  void set_step(std::int64_t step) override { clock_.source.set_step(step); }
  FaultCounts const& fault_counts() const override { return clock_.source.counts(); }
  World const& inner() const override { return inner_; }

  Rank rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int host(Rank rank) const override { return inner_.host(rank); }
  std::string host_name(Rank rank) const override { return inner_.host_name(rank); }
  bool in_process() const override { return inner_.in_process(); }
  std::string data_path() const override { return inner_.data_path() + ", with faults"; }
  std::string why_no_device_memory() const override { return inner_.why_no_device_memory(); }
  bool known_gone(Rank rank) const override { return inner_.known_gone(rank); }
  double now() const override { return inner_.now(); }

  Status wait(FunctionRef<bool()> ready, Deadline deadline) override {
    for (;;) {
      clock_.advance();
      double const until = std::min(deadline.at, clock_.next_due());
      Status const status = inner_.wait(ready, {until});
      if (status != Status::timeout || until == deadline.at) return status;
    }
  }

  std::vector<Bytes> all_gather(std::span<std::byte const> mine, Deadline deadline) override { return inner_.all_gather(mine, deadline); }
  std::unique_ptr<Exchange> make_exchange(ExchangeOptions const& options) override {
    return make_faulty_exchange(clock_, inner_.make_exchange(options));
  }
  std::unique_ptr<Transport> make_transport() override { return make_faulty_transport(clock_, inner_.make_transport()); }
  std::unique_ptr<Guard> guard(char const* what, double seconds) override { return inner_.guard(what, seconds); }
  void abort(int code, std::string const& sentence) override { inner_.abort(code, sentence); }

 private:
  World& inner_;
  FaultClock clock_;
};

}  // namespace

std::unique_ptr<FaultyWorld> make_faulty_world(World& inner, FaultPlan const& plan) {
  return std::make_unique<FaultyWorldOver>(inner, plan);
}

}  // namespace pikv::comm
