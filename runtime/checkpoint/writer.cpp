#include "runtime/checkpoint/writer.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "comm/byte_buffer.hpp"
#include "comm/error.hpp"
#include "comm/hdf5_access.hpp"
#include "comm/message.hpp"
#include "runtime/agree.hpp"
#include "runtime/checkpoint/tables_file.hpp"
#include "runtime/disk_room.hpp"
#include "runtime/gather.hpp"
#include "runtime/hdf5/handle.hpp"
#include "runtime/output_file.hpp"
#include "runtime/policy_state.hpp"

namespace pikv::runtime {

namespace {

constexpr std::size_t staging_bytes = 512 << 10;   // of pages that are copied, verified and written at once: stays in a core's cache
constexpr std::size_t most_headers = 4096;         // written at once
constexpr hsize_t alignment = 4096, aligned_from = 1 << 20;   // of what is at least so long in the file

struct Known {   // of a Progress, what gather_results does not bring
  std::int64_t index;
  Phase phase;
  shards::StreamId stream;
  std::int64_t length;
};

std::size_t bytes_of(PackedRequests const& packed) {
  return packed.rows.size() * saved_request_rows().row_bytes() + packed.tokens.size() * sizeof(std::int32_t) + packed.text.size() +
         packed.policies.size() * policy_rows().row_bytes() + packed.policy_state.size() + packed.evicted.size() * evicted_rows().row_bytes();
}

PageRow row_of(shards::PageRef const& page) {
  return {page.stream.hi, page.stream.lo, page.layer, page.block, page.tokens, page.at, page.slot, page.indexed, page.generation, 0, page.bytes};
}

void write_at(hdf5::Dataset const& dataset, std::array<hsize_t, 2> const& start, std::array<hsize_t, 2> const& count, int dimensions, std::byte const* data) {
  hdf5::Space const here{H5Screate_simple(dimensions, count.data(), nullptr), "make a memory space"};
  hdf5::Space const there{H5Dget_space(dataset.get()), "get the space of pages"};
  H5Sselect_hyperslab(there.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
  if (H5Dwrite(dataset.get(), H5T_NATIVE_UINT8, here.get(), there.get(), H5P_DEFAULT, data) < 0) throw RunError(hdf5::failure("write pages"));
}

/// A file that rank 0 made need not be there for all ranks; HDF5 would wait for those that it fails on.
void expect_writable(std::filesystem::path const& part) {
  int const file = ::open(part.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0)
    throw RunError(fmt::format("{} cannot be opened here ({}); give --checkpoint a folder on a file system that all hosts share", part.string(),
                               std::strerror(errno)));
  ::close(file);
}

}  // namespace

/// Where the pages of all ranks go, the same on every rank.
struct CheckpointWriter::Layout {
  struct Source {   // of one of this rank's rows
    shards::PageRef page;
    std::int64_t unread = -1;   // row of the checkpoint that this job went on from, or -1
  };
  std::vector<PageRow> rows;    // of all
  std::uint64_t payload_bytes = 0;   // of all
  std::size_t first = 0;        // row of this rank's first page
  std::size_t unread = 0;       // of all
  std::vector<Source> mine;
};

struct CheckpointWriter::File {
  hdf5::Properties access;
  hdf5::File file;
  hdf5::Dataset headers, payloads;

  void abandon() {
    headers.abandon();
    payloads.abandon();
    file.abandon();
  }

  static File open(comm::World const& world, std::filesystem::path const& part) {
    hdf5::Properties access{comm::hdf5_file_access(world), "open a checkpoint's access"};
    H5Pset_alignment(access.get(), aligned_from, alignment);
    hdf5::File file{H5Fopen(part.c_str(), H5F_ACC_RDWR, access.get()), "open " + part.string()};
    try {
      hdf5::Dataset headers{H5Dopen2(file.get(), "page_headers", H5P_DEFAULT), "open /page_headers"};
      hdf5::Dataset payloads{H5Dopen2(file.get(), "page_payloads", H5P_DEFAULT), "open /page_payloads"};
      return {std::move(access), std::move(file), std::move(headers), std::move(payloads)};
    } catch (...) {
      file.abandon();
      throw;
    }
  }

  void flush(std::filesystem::path const& part) const {
    if (H5Fflush(file.get(), H5F_SCOPE_LOCAL) < 0) throw RunError(hdf5::failure("flush " + part.string()));
  }
};

CheckpointWriter::CheckpointWriter(comm::World& world, shards::Store& store, RestoredPages const* restored, double deadline_s)
    : world_{world}, store_{store}, restored_{restored}, deadline_s_{deadline_s} {
  hdf5::prepare();
}

void CheckpointWriter::agree(comm::FunctionRef<void()> local) { runtime::agree(world_, patience * deadline_s_, local); }

/// The pages of a rank lie together, in the order of their homes; those that are still in the old checkpoint come last.
CheckpointWriter::Layout CheckpointWriter::lay_out(HomeState const& mine) {
  auto const refs = world_.all_gather(std::as_bytes(std::span{mine.pages}), world_.in(deadline_s_));
  auto const unread = world_.all_gather(std::as_bytes(std::span{mine.unread}), world_.in(deadline_s_));
  auto const array = [](auto item, comm::Bytes const& bytes) { return comm::MessageReader{bytes}.array<decltype(item)>(bytes.size() / sizeof item); };
  Layout layout;
  auto const add = [&](PageRow row) {
    row.at = layout.payload_bytes;
    layout.payload_bytes += row.bytes;
    layout.rows.push_back(row);
  };
  std::vector<std::vector<shards::PageRef>> at(refs.size());
  for (comm::Bytes const& home : refs)
    for (shards::PageRef const& page : array(shards::PageRef{}, home))
      if (page.at >= 0) at[static_cast<std::size_t>(page.at)].push_back(page);
  for (std::size_t rank = 0; rank < at.size(); ++rank) {
    bool const own = static_cast<comm::Rank>(rank) == world_.rank();
    if (own) layout.first = layout.rows.size();
    for (shards::PageRef const& page : at[rank]) {
      add(row_of(page));
      if (own) layout.mine.push_back({page, -1});
    }
    for (HomeState::Unread const& page : array(HomeState::Unread{}, unread[rank])) {
      add(page.page);
      ++layout.unread;
      if (own) layout.mine.push_back({{}, page.row});
    }
  }
  return layout;
}

/// On rank 0: every request, as far as it is.
std::vector<SavedRequest> CheckpointWriter::gather_requests(std::vector<Request> const& requests, HomeState const& mine) {
  std::vector<Known> known;
  std::vector<Result> results;
  for (auto const& progress : mine.progress) {
    known.push_back({progress.index, progress.phase, progress.stream, progress.length});
    results.push_back(progress.result);
  }
  StateWriter policies;
  for (auto const& progress : mine.progress) {
    if (progress.policy.empty()) continue;
    policies.value(progress.index);
    policies.list(std::vector<char>{progress.policy.begin(), progress.policy.end()});
    policies.list(progress.evicted);
  }
  std::string const my_policies = policies.take();
  auto const policy_parts = world_.all_gather(std::as_bytes(std::span{my_policies}), world_.in(deadline_s_));
  auto const parts = world_.all_gather(std::as_bytes(std::span{known}), world_.in(deadline_s_));
  std::vector<Result> const all = gather_results(world_, results, deadline_s_);
  std::vector<SavedRequest> saved;
  if (world_.rank() != 0) return saved;
  for (Request const& request : requests) saved.push_back({request, Phase::waiting, {}, {}, 0});
  for (comm::Bytes const& part : parts)
    for (Known const& one : comm::MessageReader{part}.array<Known>(part.size() / sizeof(Known))) {
      SavedRequest& request = saved[static_cast<std::size_t>(one.index)];
      request.phase = one.phase;
      request.stream = one.stream;
      request.length = one.length;
    }
  std::vector<char> policy;
  for (comm::Bytes const& part : policy_parts)
    for (StateReader in{{reinterpret_cast<char const*>(part.data()), part.size()}}; !in.empty();) {
      SavedRequest& request = saved[static_cast<std::size_t>(in.value<std::int64_t>())];
      in.list(policy);
      request.policy.assign(policy.begin(), policy.end());
      in.list(request.evicted);
    }
  for (Result const& result : all) saved[static_cast<std::size_t>(result.index)].result = result;
  return saved;
}

void CheckpointWriter::write_pages(File& file, Layout const& layout, WrittenCheckpoint& written) {
  std::size_t const page_bytes = store_.options().layout.bytes(), pages = layout.mine.size();   // of the largest
  std::vector<shards::PageHeader> headers(std::min(most_headers, pages));
  std::vector<std::byte> payloads(std::max(staging_bytes, page_bytes));
  std::size_t headers_from = 0, staged = 0;
  for (std::size_t i = 0; i < pages; ++i) {
    Layout::Source const& source = layout.mine[i];
    auto& header = headers[i - headers_from];
    PageRow const& row = layout.rows[layout.first + i];
    auto const payload = std::span{payloads}.subspan(staged, row.bytes);
    bool const sound = source.unread >= 0
                           ? restored_->checkpoint().read_verified(static_cast<std::size_t>(source.unread), header, payload) == shards::Verdict::good
                           : shards::copy_page(store_, source.page, header, payload);
    if (!sound) {
      header = {};
      ++written.unsound;
    }
    staged += row.bytes;
    if (staged + page_bytes > payloads.size() || i + 1 == pages) {
      write_at(file.payloads, {row.at + row.bytes - staged, 0}, {staged, 0}, 1, payloads.data());
      staged = 0;
    }
    if (std::size_t const count = i + 1 - headers_from; count == most_headers || i + 1 == pages) {
      write_at(file.headers, {layout.first + headers_from, 0}, {count, shards::header_bytes}, 2, reinterpret_cast<std::byte const*>(headers.data()));
      headers_from = i + 1;
    }
  }
}

WrittenCheckpoint CheckpointWriter::write(std::filesystem::path const& name, CheckpointFacts const& facts, std::vector<Request> const& requests,
                                          HomeState const& mine) {
  Layout const layout = lay_out(mine);
  PackedRequests const packed = pack(gather_requests(requests, mine));
  WrittenCheckpoint written;
  written.pages = layout.rows.size();
  written.unread = layout.unread;
  written.bytes = written.pages * shards::header_bytes + layout.payload_bytes;

  auto const part = part_of(name);
  auto const guard = world_.guard("writing a checkpoint", patience * deadline_s_);
  agree([&] {
    if (world_.rank() != 0) return;
    try {
      open_part(name, "--checkpoint");
    } catch (InputError const& error) {   // a place that was good when the job began
      throw RunError(error.what());
    }
    make_room(part, written.bytes + bytes_of(packed) + layout.rows.size() * page_rows().row_bytes());   // HDF5 fails badly on a full disk
    write_tables(part, facts, packed, layout.rows);
    make_room(part, written.bytes);
  });
  if (world_.in_process()) write_in_turn(part, layout, written);
  else write_together(part, layout, written);
  agree([&] {
    if (world_.rank() == 0) publish(name);
  });
  auto const unsound = world_.all_gather(std::as_bytes(std::span{&written.unsound, 1}), world_.in(deadline_s_));
  written.unsound = 0;
  for (comm::Bytes const& of_rank : unsound) written.unsound += comm::MessageReader{of_rank}.value<std::uint64_t>();
  return written;
}

/// HDF5 is one rank's at a time.
void CheckpointWriter::write_in_turn(std::filesystem::path const& part, Layout const& layout, WrittenCheckpoint& written) {
  for (comm::Rank turn = 0; turn < world_.size(); ++turn)
    agree([&] {
      if (turn != world_.rank()) return;
      File file = File::open(world_, part);
      try {
        write_pages(file, layout, written);
        file.flush(part);
      } catch (...) {
        file.abandon();
        throw;
      }
    });
}

/// Opening, flushing and closing wait for all ranks, so a rank in trouble is heard of before each: then nobody goes on, or closes.
void CheckpointWriter::write_together(std::filesystem::path const& part, Layout const& layout, WrittenCheckpoint& written) {
  agree([&] { expect_writable(part); });
  std::unique_ptr<File> file;
  try {
    agree([&] { file = std::make_unique<File>(File::open(world_, part)); });
    agree([&] { write_pages(*file, layout, written); });
    agree([&] { file->flush(part); });
  } catch (...) {
    if (file) file->abandon();
    throw;
  }
}

}  // namespace pikv::runtime
