// The neighbour of compare.py --crowd: it streams through the cache that all cores share, when it is told to.
//
// Why: on the machines of users other programs fill the shared cache and take the memory's bandwidth. A pass
// reads and writes each line of a buffer that is larger than the cache (argument: bytes), so that whatever
// others keep there is driven out. Between `stop` and `start` it sleeps. It ends when its input ends, so it
// outlives no program that started it, however that one ended.
//
// -> {"peer": "neighbour", "version": "", "settings": "..."}         once, at the start
// <- {"cmd": "start"}                         -> {"ok": true}        after one pass over the buffer
// <- {"cmd": "stop"}                          -> {"gb_s": 31.2}      read and written since then
// <- {"cmd": "read", "bytes": 4194304, "seconds": 0.2}  -> {"gb_s": 95.1}    of a reader of so many bytes
#include "protocol.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace {

using Words = std::vector<uint64_t>;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Neighbour {
  public:
    explicit Neighbour(size_t bytes) : buffer(bytes / sizeof(uint64_t), 1) {}

    void start() {
        if (streams.exchange(true)) throw std::runtime_error("start: it streams already");
        bytes = 0;
        thread = std::thread([this] { stream(); });
        while (bytes < buffer.size() * sizeof(uint64_t)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        first = bytes, began = Clock::now();
    }

    double stop() {
        if (!streams) throw std::runtime_error("stop: it does not stream");
        double rate = double(bytes - first) / since(began);
        streams = false;
        thread.join();
        return rate;
    }

  private:
    void stream() {
        // So much at a time that it stops within a millisecond.
        constexpr size_t part = (size_t(1) << 20) / sizeof(uint64_t);
        for (size_t at = 0; streams; at = at + part < buffer.size() ? at + part : 0) {
            size_t end = std::min(at + part, buffer.size());
            for (size_t k = at; k < end; k++) buffer[k] += 1;
            bytes += 2 * (end - at) * sizeof(uint64_t);
        }
    }

    Words buffer;
    std::thread thread;
    std::atomic<bool> streams{false};
    std::atomic<size_t> bytes{0};
    size_t first = 0;
    Clock::time_point began;
};

// Bytes per second of reading so many bytes again and again.
double read_rate(size_t bytes, double seconds) {
    Words words(std::max<size_t>(bytes / sizeof(uint64_t), 1), 1);
    volatile uint64_t kept = 0;
    auto pass = [&] {
        uint64_t all = 0;
        for (uint64_t word : words) all |= word;
        kept = kept | all;
    };
    pass();
    auto start = Clock::now();
    double passes = 0;
    do {
        pass();
        passes++;
    } while (since(start) < seconds);
    return passes * double(words.size() * sizeof(uint64_t)) / since(start);
}

}  // namespace

int main(int count, char** arguments) {
    size_t bytes = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 0;
    if (bytes < (1 << 20)) {
        std::fprintf(stderr, "expected the bytes of the buffer, at least a mebibyte\n");
        return 2;
    }
    Neighbour neighbour(bytes);
    std::printf("{\"peer\": \"neighbour\", \"version\": \"\", \"settings\": \"%zu bytes\"}\n", bytes);
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::string command = peer::field(line, "cmd");
            if (command == "start") {
                neighbour.start();
                std::printf("{\"ok\": true}\n");
            } else if (command == "stop") {
                std::printf("{\"gb_s\": %.3f}\n", neighbour.stop() / 1e9);
            } else if (command == "read") {
                size_t bytes = std::stoull(peer::field(line, "bytes"));
                double rate = read_rate(bytes, std::stod(peer::field(line, "seconds")));
                std::printf("{\"gb_s\": %.3f}\n", rate / 1e9);
            } else {
                throw std::runtime_error("cmd: expected start, stop or read, got " + command);
            }
        } catch (const std::exception& error) {
            std::printf("{\"error\": %s}\n", peer::quoted(error.what()).c_str());
        }
        std::fflush(stdout);
    }
    // Also while it streams: no thread is waited for.
    std::_Exit(0);
}
