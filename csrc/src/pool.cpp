#include "isoflop/pool.hpp"

#include <unistd.h>

#include <chrono>

namespace isoflop {

namespace {

// As long as what is done between two steps takes; others that have work get the core meanwhile.
constexpr std::chrono::microseconds awake{500};

template <class Until>
void look(const Until& until) {
  const auto end = std::chrono::steady_clock::now() + awake;
  while (!until() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

}  // namespace

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  begin_.notify_all();
  const bool ours = process_ == getpid();
  for (std::thread& thread : threads_)
    if (ours) thread.join();
    else thread.detach();
}

void Pool::run(int threads, const std::function<void(int)>& work) {
  if (threads == 1) {
    work(0);
    return;
  }
  grow(threads);
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    asked_ = threads;
    busy_ = threads - 1;
    ++round_;
  }
  begin_.notify_all();
  work(0);
  look([this] { return busy_ == 0; });
  std::unique_lock lock(mutex_);
  end_.wait(lock, [this] { return busy_ == 0; });
}

void Pool::grow(int threads) {
  if (process_ != getpid()) {
    for (std::thread& thread : threads_) thread.detach();
    threads_.clear();
    process_ = getpid();
  }
  while (static_cast<int>(threads_.size()) < threads - 1)
    threads_.emplace_back(&Pool::serve, this, static_cast<int>(threads_.size()) + 1, round_.load());
}

void Pool::serve(int thread, std::uint64_t seen) {
  std::unique_lock lock(mutex_, std::defer_lock);
  while (true) {
    look([&] { return round_ != seen; });
    lock.lock();
    begin_.wait(lock, [&] { return leaving_ || round_ != seen; });
    if (leaving_) return;
    seen = round_;
    const bool asked = thread < asked_;
    lock.unlock();
    if (!asked) continue;
    (*work_)(thread);
    lock.lock();
    if (--busy_ == 0) end_.notify_one();
    lock.unlock();
  }
}

}  // namespace isoflop
