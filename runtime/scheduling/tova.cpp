#include "runtime/scheduling/tova.hpp"

#include <algorithm>
#include <vector>

#include "runtime/scheduling/masses.hpp"

namespace pikv::runtime {
namespace {

struct Table {
  std::int64_t last_position = -1;
  std::vector<double> mass;   // by block
};

class Tova final : public Scheduler {
 public:
  explicit Tova(LayerShape const& shape) : shape_{shape}, tables_(static_cast<std::size_t>(shape.tables)) {}

  void read(Reading const& reading) override {
    Masses const masses{shape_, reading};
    Table& table = of(reading.table);
    table.last_position = reading.first_position + reading.rows - 1;
    std::fill(table.mass.begin(), table.mass.end(), 0);
    if (masses.pages() > 0) table.mass.resize(std::max(table.mass.size(), static_cast<std::size_t>(reading.pages.back()) + 1));
    for (std::size_t i = 0; i < masses.pages(); ++i) table.mass[static_cast<std::size_t>(reading.pages[i])] = masses.mean(i, reading.rows - 1);
  }

  void utilities(std::int32_t index, std::span<Block const> pages, Budget const&, std::span<float> u) override {
    Table const& table = of(index);
    Block const newest = table.last_position < 0 ? 0 : shards::block_of(table.last_position, shape_.page_tokens);
    for (std::size_t i = 0; i < pages.size(); ++i) {
      auto const block = static_cast<std::size_t>(pages[i]);
      double const mass = block < table.mass.size() ? table.mass[block] : 0;
      u[i] = pages[i] >= newest ? 1 : static_cast<float>(std::min(1.0, mass));
    }
  }

  void forget(std::int32_t index, Block page) override {
    auto& mass = of(index).mass;
    if (auto const block = static_cast<std::size_t>(page); block < mass.size()) mass[block] = 0;
  }

  void save(StateWriter& out) const override {
    for (Table const& table : tables_) {
      out.value(table.last_position);
      out.list(table.mass);
    }
  }
  void restore(StateReader& in) override {
    for (Table& table : tables_) {
      table.last_position = in.value<std::int64_t>();
      in.list(table.mass);
    }
  }

 private:
  Table& of(std::int32_t table) { return tables_.at(static_cast<std::size_t>(table)); }

  LayerShape shape_;
  std::vector<Table> tables_;
};

}   // namespace

std::unique_ptr<Scheduler> make_tova(SchedulerMaterial const& material) { return std::make_unique<Tova>(material.shape); }

}   // namespace pikv::runtime
