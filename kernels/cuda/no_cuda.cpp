#include <stdexcept>

#include "kernels/attend.hpp"
#include "kernels/cuda/coded.hpp"
#include "kernels/cuda/memory.hpp"
#include "kernels/merge.hpp"

namespace pikv::kernels::cuda {
namespace {

[[noreturn]] void refuse() { throw std::runtime_error("this pikv was built without CUDA; rebuild with -DPIKV_CUDA=ON"); }

}  // namespace

void attend(PoolView const&, AttendPlan const&, float const*, std::int32_t, float, PartialView, float*, Stream&) { refuse(); }
void attend_coded(DeviceCodedPool const&, AttendPlan const&, float const*, std::int32_t, float, PartialView, float*, Stream&) { refuse(); }
void encode_pages(PoolView const&, DeviceCodedPool const&, SlotPairs const&, Stream&) { refuse(); }
void decode_pages(DeviceCodedPool const&, PoolView const&, SlotPairs const&, Stream&) { refuse(); }
DeviceCodedLayout::DeviceCodedLayout(CodedLayout const&, Stream& stream) : matrices_{0, stream}, maps_{0, stream}, heads_{0, stream} { refuse(); }
DeviceBuffer::DeviceBuffer(std::size_t, Stream& stream) : stream_{&stream}, bytes_{0} { refuse(); }
DeviceBuffer::~DeviceBuffer() = default;
void DeviceBuffer::copy_in(std::span<std::byte const>, std::size_t) { refuse(); }
void DeviceBuffer::copy_out(std::span<std::byte>) const { refuse(); }
void merge(PartialView, PartialView, std::int32_t, std::int32_t, std::int32_t, Stream&) { refuse(); }

}  // namespace pikv::kernels::cuda
