// An allocator for PyTorch on the CPU that refuses what would pass a limit of bytes; see enforced.py.
// Memory itself is the default allocator's: what was there before is left to that one, and counted as `base`.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace {

std::mutex guard;
std::unordered_map<void*, int64_t> sizes;
int64_t held = 0, highest = 0, limit = 0, wanted = 0;

void release(void* pointer) {
  {
    std::lock_guard<std::mutex> lock(guard);
    auto found = sizes.find(pointer);
    if (found != sizes.end()) {
      held -= found->second;
      sizes.erase(found);
    }
  }
  c10::GetDefaultCPUAllocator()->raw_deallocate(pointer);
}

struct Limited final : c10::Allocator {
  c10::DataPtr allocate(size_t count) override {
    const auto bytes = static_cast<int64_t>(count);
    {
      std::lock_guard<std::mutex> lock(guard);
      if (held + bytes > limit) {
        wanted = held + bytes;
        TORCH_CHECK_WITH(OutOfMemoryError, false, wanted, " bytes were wanted of ", limit);
      }
      held += bytes;
      highest = std::max(highest, held);
    }
    void* pointer = c10::GetDefaultCPUAllocator()->raw_allocate(count);
    std::lock_guard<std::mutex> lock(guard);
    if (pointer != nullptr) sizes[pointer] = bytes;
    return {pointer, pointer, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }
};

Limited limited;

}  // namespace

extern "C" void begin(int64_t base, int64_t most) {
  std::lock_guard<std::mutex> lock(guard);
  sizes.clear();
  held = highest = base;
  limit = most;
  wanted = 0;
  c10::SetCPUAllocator(&limited, 1);
}

extern "C" void end() { c10::SetCPUAllocator(c10::GetDefaultCPUAllocator(), 1); }
extern "C" int64_t most_held() { return highest; }
extern "C" int64_t refused() { return wanted; }
