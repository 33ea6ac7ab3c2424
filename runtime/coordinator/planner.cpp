#include "runtime/coordinator/planner.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "runtime/coordinator/eplb.hpp"

namespace pikv::runtime {
namespace {

using shards::BucketPlace;
constexpr double hot_share = 1.0 / 32;   // of a rank's even share

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// A bucket's load and pages, and on which ranks these lie.
struct Hot {
  shards::Bucket bucket = 0;
  double load = 0;
  std::uint64_t pages = 0;
  std::vector<double> load_of;             // by rank
  std::vector<std::uint64_t> pages_of;     // by rank
};

struct Loads {
  double pages = 0, reads = 0, weight = 0;
  std::vector<double> of;                  // by rank: share of reads plus share of pages
  double one(std::uint64_t some_pages, std::uint64_t some_reads) const {
    return (pages > 0 ? static_cast<double>(some_pages) / pages : 0) + (reads > 0 ? static_cast<double>(some_reads) / reads : 0);
  }
};

Loads add_up(PlanInput const& input) {
  Loads loads;
  for (auto const& report : input.loads) {
    loads.pages += static_cast<double>(report.pages);
    loads.reads += static_cast<double>(report.reads);
  }
  for (std::uint64_t const weight : input.weights) loads.weight += static_cast<double>(weight);
  for (auto const& report : input.loads) loads.of.push_back(loads.one(report.pages, report.reads));
  return loads;
}

/// Largest load over the mean, each divided by its rank's weight, of the ranks that store.
double imbalance(std::vector<double> const& load, std::vector<std::uint64_t> const& weights) {
  double most = 0, all = 0, weight = 0;
  for (std::size_t r = 0; r < load.size(); ++r) {
    if (weights[r] == 0) continue;
    all += load[r];
    weight += static_cast<double>(weights[r]);
    most = std::max(most, load[r] / static_cast<double>(weights[r]));
  }
  return all > 0 ? most * weight / all : 1;
}

std::vector<Hot> hot_buckets(PlanInput const& input, Loads const& loads) {
  std::map<shards::Bucket, Hot> by_bucket;
  for (std::size_t rank = 0; rank < input.loads.size(); ++rank) {
    auto const& report = input.loads[rank];
    for (std::size_t i = 0; i < report.buckets; ++i) {
      auto const& [bucket, pages, reads] = report.heaviest[i];
      Hot& hot = by_bucket[bucket];
      hot.bucket = bucket;
      hot.load_of.resize(input.loads.size());
      hot.pages_of.resize(input.loads.size());
      hot.load += hot.load_of[rank] = loads.one(pages, reads);
      hot.pages += hot.pages_of[rank] = pages;
    }
  }
  double all = 0;
  for (double const load : loads.of) all += load;
  auto const storing = static_cast<double>(std::ranges::count_if(input.weights, [](std::uint64_t w) { return w > 0; }));
  std::vector<Hot> hot;
  for (auto const& [bucket, load] : by_bucket)
    if (load.load > hot_share * all / storing) hot.push_back(load);
  std::ranges::stable_sort(hot, [](Hot const& a, Hot const& b) { return a.load > b.load; });
  hot.resize(std::min(hot.size(), shards::most_bucket_places));
  return hot;
}

/// EPLB's GPUs: the rank each is a part of, 1 to 4 a rank by weight.
std::vector<int> gpus_of(std::vector<std::uint64_t> const& weights) {
  std::uint64_t least = UINT64_MAX;
  for (std::uint64_t const weight : weights)
    if (weight > 0) least = std::min(least, weight);
  std::vector<int> rank_of;
  for (std::size_t rank = 0; rank < weights.size(); ++rank)
    for (std::uint64_t part = 0; weights[rank] > 0 && part < std::min<std::uint64_t>((weights[rank] + least / 2) / least, 4); ++part)
      rank_of.push_back(static_cast<int>(rank));
  return rank_of;
}

/// Which packs of EPLB go to which ranks: packs are alike, so each in turn to the rank that has most of its pages already.
std::vector<BucketPlace> place(std::vector<Hot> const& hot, std::vector<std::uint64_t> const& weights) {
  std::vector<int> free = gpus_of(weights);
  int const gpus = static_cast<int>(free.size());
  double fair = 0;
  std::vector<double> load;
  for (Hot const& bucket : hot) {
    load.push_back(bucket.load);
    fair += bucket.load / gpus;
  }
  int slots = 0;
  for (double const l : load) slots += std::max(1, static_cast<int>(std::ceil(l / fair)));
  slots = (slots + gpus - 1) / gpus * gpus;
  std::vector<int> const held = eplb(load, {.slots = slots, .gpus = gpus});
  std::vector<BucketPlace> places(hot.size());
  for (std::size_t i = 0; i < hot.size(); ++i) places[i] = {.bucket = hot[i].bucket, .parts = 0};
  int const per_gpu = slots / gpus;
  for (int gpu = 0; gpu < gpus; ++gpu) {
    std::vector<std::uint64_t> pages_there(weights.size());
    for (int s = 0; s < per_gpu; ++s)
      for (std::size_t rank = 0; rank < weights.size(); ++rank) pages_there[rank] += hot[at(held[at(gpu * per_gpu + s)])].pages_of[rank];
    auto const best = std::ranges::max_element(free, [&](int a, int b) { return pages_there[at(a)] < pages_there[at(b)]; });
    for (int s = 0; s < per_gpu; ++s) {
      BucketPlace& bucket = places[at(held[at(gpu * per_gpu + s)])];
      if (at(bucket.parts) < shards::most_parts) bucket.ranks[at(bucket.parts++)] = static_cast<std::int16_t>(*best);
    }
    free.erase(best);
  }
  return places;
}

/// Share of a bucket's pages that a place gives each rank.
std::vector<double> shares(BucketPlace const& place, std::size_t ranks) {
  std::vector<double> share(ranks, 0.0);
  for (std::int32_t part = 0; part < place.parts; ++part) share[at(place.ranks[at(part)])] += 1.0 / place.parts;
  return share;
}

/// Places of buckets that are not hot any more stay as they are, while there is room: dropping one would move its pages.
void keep_old(std::vector<BucketPlace>& places, std::vector<BucketPlace> const& old) {
  auto const hot = places.size();
  for (BucketPlace const& place : old) {
    if (places.size() == shards::most_bucket_places) return;
    auto const is_hot = std::any_of(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(hot), [&](BucketPlace const& p) { return p.bucket == place.bucket; });
    if (!is_hot) places.push_back(place);
  }
}

void plan_loads(PlanInput const& input, Loads const& loads, Planned& planned) {
  planned.imbalance = planned.predicted = imbalance(loads.of, input.weights);
  std::vector<Hot> const hot = hot_buckets(input, loads);
  if (planned.imbalance <= most_imbalance || hot.empty()) return;
  std::vector<BucketPlace> places = place(hot, input.weights);
  std::vector<double> then = loads.of;
  std::vector<double> out(then.size(), 0.0), in(then.size(), 0.0);   // pages, by rank
  for (std::size_t i = 0; i < hot.size(); ++i) {
    auto const share = shares(places[i], then.size());
    for (std::size_t rank = 0; rank < then.size(); ++rank) {
      then[rank] += share[rank] * hot[i].load - hot[i].load_of[rank];
      double const comes = share[rank] * static_cast<double>(hot[i].pages) - static_cast<double>(hot[i].pages_of[rank]);
      (comes > 0 ? in : out)[rank] += std::abs(comes);
    }
  }
  planned.predicted = imbalance(then, input.weights);
  double const ranks = static_cast<double>(std::ranges::count_if(input.weights, [](std::uint64_t w) { return w > 0; }));
  double const fewer_reads = (planned.imbalance - planned.predicted) * loads.reads / ranks;
  planned.saved_bytes = static_cast<std::uint64_t>(std::max(0.0, fewer_reads) * static_cast<double>(input.page_bytes));
  double const moved = std::max(*std::ranges::max_element(in), *std::ranges::max_element(out));
  planned.cost_bytes = static_cast<std::uint64_t>(moved) * input.page_bytes * cost_of_moving;
  planned.adopted = planned.saved_bytes > planned.cost_bytes;
  if (!planned.adopted) return;
  keep_old(places, input.current.places);
  planned.next = input.current;
  planned.next.places = places;
  ++planned.next.epoch;
}

void plan_ranks(PlanInput const& input, Loads const& loads, Planned& planned) {
  planned.reason = PlanReason::ranks;
  planned.adopted = true;
  planned.imbalance = imbalance(loads.of, input.current.weights);
  planned.predicted = 1;   // even, as hashing is
  planned.next = input.current;
  planned.next.weights = input.weights;
  ++planned.next.epoch;
  for (BucketPlace& place : planned.next.places) {
    BucketPlace kept{.bucket = place.bucket, .parts = 0};
    for (std::int32_t part = 0; part < place.parts; ++part)
      if (input.weights[at(place.ranks[at(part)])] > 0) kept.ranks[at(kept.parts++)] = place.ranks[at(part)];
    place = kept;
  }
  std::erase_if(planned.next.places, [](BucketPlace const& place) { return place.parts == 0; });
  double moved = 0;   // of the rank that gives or takes most
  for (std::size_t rank = 0; rank < input.weights.size(); ++rank) {
    bool const joins = input.current.weights[rank] == 0 && input.weights[rank] > 0;
    if (input.weights[rank] == 0) moved = std::max(moved, static_cast<double>(input.loads[rank].pages));
    if (joins) moved = std::max(moved, loads.pages * static_cast<double>(input.weights[rank]) / loads.weight);
  }
  planned.cost_bytes = static_cast<std::uint64_t>(moved) * input.page_bytes * cost_of_moving;
}

}  // namespace

char const* to_string(PlanReason reason) { return reason == PlanReason::loads ? "loads" : "ranks"; }

Planned plan(PlanInput const& input) {
  Planned planned;
  Loads const loads = add_up(input);
  if (input.weights != input.current.weights) plan_ranks(input, loads, planned);
  else plan_loads(input, loads, planned);
  return planned;
}

PlanRows rows_of(PlanInput const& input, Planned const& planned, std::int64_t first_step) {
  PlanRows rows;
  rows.plan = {.step = input.step, .first_step = planned.adopted ? first_step : -1, .epoch = input.current.epoch,
               .reason = static_cast<std::int32_t>(planned.reason), .adopted = planned.adopted ? 1 : 0, .imbalance = planned.imbalance,
               .predicted = planned.predicted, .saved_bytes = planned.saved_bytes, .cost_bytes = planned.cost_bytes, .page_bytes = input.page_bytes};
  for (std::size_t rank = 0; rank < input.loads.size(); ++rank) {
    auto const& report = input.loads[rank];
    auto const number = static_cast<std::int32_t>(rank);
    rows.loads.push_back({input.step, number, input.current.weights[rank], input.weights[rank], report.pages, report.bytes, report.reads,
                          report.bytes_by_locality});
    for (std::size_t i = 0; i < report.buckets; ++i)
      rows.buckets.push_back({input.step, number, report.heaviest[i].bucket, report.heaviest[i].pages, report.heaviest[i].reads});
  }
  for (BucketPlace const& place : planned.next.places)
    for (std::int32_t part = 0; part < place.parts; ++part) rows.places.push_back({input.step, place.bucket, part, place.ranks[at(part)]});
  return rows;
}

PlanInput input_of(PlanRows const& rows, std::vector<BucketPlace> const& current) {
  PlanInput input;
  input.step = rows.plan.step;
  input.page_bytes = rows.plan.page_bytes;
  input.current.epoch = rows.plan.epoch;
  input.current.places = current;
  for (PlanLoad const& load : rows.loads) {
    input.current.weights.push_back(load.weight_before);
    input.weights.push_back(load.weight);
    input.loads.push_back({.pages = load.pages, .bytes = load.bytes, .reads = load.reads, .bytes_by_locality = load.bytes_by_locality});
  }
  for (PlanBucket const& row : rows.buckets) {
    auto& report = input.loads.at(at(row.rank));
    report.heaviest.at(report.buckets++) = {row.bucket, static_cast<std::uint32_t>(row.pages), row.reads};
  }
  return input;
}

std::vector<BucketPlace> places_of(std::vector<PlanPlace> const& rows) {
  std::vector<BucketPlace> places;
  for (PlanPlace const& row : rows) {
    if (row.part == 0) places.push_back({.bucket = row.bucket, .parts = 0});
    BucketPlace& place = places.at(places.size() - 1);
    place.ranks.at(at(place.parts++)) = static_cast<std::int16_t>(row.rank);
  }
  return places;
}

}  // namespace pikv::runtime
