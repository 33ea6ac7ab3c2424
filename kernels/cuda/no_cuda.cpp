#include <stdexcept>

#include "kernels/append.hpp"
#include "kernels/attend.hpp"
#include "kernels/cuda/coded.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/cuda/memory.hpp"
#include "kernels/gate.hpp"
#include "kernels/linear.hpp"
#include "kernels/merge.hpp"
#include "kernels/norm.hpp"
#include "kernels/pages.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"
#include "kernels/summary.hpp"
#include "kernels/swiglu.hpp"

namespace pikv::kernels::cuda {
namespace {

[[noreturn]] void refuse() { throw std::runtime_error("this pikv was built without CUDA; rebuild with -DPIKV_CUDA=ON"); }

}  // namespace

DeviceCodedLayout::DeviceCodedLayout(CodedLayout const&, Stream& stream) : matrices_{0, stream}, maps_{0, stream}, strips_{0, stream}, heads_{0, stream} { refuse(); }
DeviceBuffer::DeviceBuffer(std::size_t, Stream& stream) : stream_{&stream}, bytes_{0} { refuse(); }
DeviceBuffer::~DeviceBuffer() = default;
void DeviceBuffer::copy_in(std::span<std::byte const>, std::size_t) { refuse(); }
void DeviceBuffer::copy_out(std::span<std::byte>) const { refuse(); }

void add(float*, float const*, std::size_t, Stream&) { refuse(); }
void add_weighted(float*, float const*, float const* const*, std::int32_t, std::int32_t, std::int32_t, Stream&) { refuse(); }
void append(PoolView const&, std::int32_t const*, std::int32_t const*, float const*, float const*, std::int32_t, Stream&) { refuse(); }
void attend(PoolView const&, AttendPlan const&, float const*, std::int32_t, float, PartialView, float*, Stream&) { refuse(); }
void attend_coded(DeviceCodedPool const&, AttendPlan const&, float const*, std::int32_t, float, PartialView, float*, Stream&) { refuse(); }
void checksum(SlotsView const&, std::int32_t const*, std::int32_t, std::size_t, std::int32_t, std::uint64_t*, Stream&) { refuse(); }
void decode_pages(DeviceCodedPool const&, PoolView const&, SlotPairs const&, Stream&) { refuse(); }
void encode_pages(PoolView const&, DeviceCodedPool const&, SlotPairs const&, Stream&) { refuse(); }
void finish(PartialView, float*, std::int32_t, std::int32_t, std::int32_t, Stream&) { refuse(); }
void gate(float const*, std::int32_t, std::int32_t, std::int32_t, GateWeights, std::int32_t*, float*, float*, Stream&) { refuse(); }
void gather(SlotsView const&, std::int32_t const*, std::int32_t, std::byte*, Stream&) { refuse(); }
void gather_rows(float const* const*, std::int32_t, std::int32_t, float*, Stream&) { refuse(); }
void linear(float const*, MatrixView const&, float*, std::int32_t, Stream&) { refuse(); }
void linear_tiled(float const*, MatrixView const&, float*, std::int32_t, Stream&) { refuse(); }
std::unique_ptr<Device> make_device() { refuse(); }
void mean_logits(SummaryView const&, std::span<std::int32_t const>, float const*, std::int32_t, float*, Stream&) { refuse(); }
void merge(PartialView, PartialView, std::int32_t, std::int32_t, std::int32_t, Stream&) { refuse(); }
void rms_norm(float const*, float const*, float, float*, std::int32_t, std::int32_t, Stream&) { refuse(); }
void rotary(float*, float const*, float const*, std::int32_t, std::int32_t, std::int32_t, Stream&) { refuse(); }
void rotary_table(std::int32_t const*, std::int32_t, std::int32_t, float, float*, float*, Stream&) { refuse(); }
void scatter(std::byte const*, std::int32_t const*, std::int32_t, SlotsView const&, Stream&) { refuse(); }
void summarise(PoolView const&, std::int32_t const*, std::int32_t const*, std::int32_t const*, std::int32_t, SummaryOut, Stream&) { refuse(); }
void swiglu(float*, float const*, std::size_t, Stream&) { refuse(); }
void upper_bounds(SummaryView const&, std::span<std::int32_t const>, float const*, std::int32_t, float*, Stream&) { refuse(); }

}  // namespace pikv::kernels::cuda
