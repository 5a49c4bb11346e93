// Keeps the device busy for so many ticks of its clock, while the host queues what is to be timed.
extern "C" __global__ void spin(long long ticks) {
    const long long start = clock64();
    while (clock64() - start < ticks) {
    }
}
