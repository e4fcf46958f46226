/** The device, but that what its buffers take is told: bytes as each is made, less them when it is destroyed, once. */
export const countingDevice = (
  device: GPUDevice,
  count: (bytes: number, buffers: 1 | -1) => void,
): GPUDevice =>
  new Proxy(device, {
    get(target, key) {
      if (key === 'createBuffer')
        return (descriptor: GPUBufferDescriptor) => {
          const buffer = device.createBuffer(descriptor);
          const destroy = buffer.destroy.bind(buffer);
          let there = true;
          count(descriptor.size, 1);
          buffer.destroy = () => {
            if (there) count(-descriptor.size, -1);
            there = false;
            return destroy();
          };
          return buffer;
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
