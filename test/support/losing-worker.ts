// A worker of models that loses its GPU when it is told `lose`.
import '../../src/api/worker.ts';

const devices: GPUDevice[] = [];
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function keep(this: GPUAdapter, descriptor?: GPUDeviceDescriptor) {
  const device = await requestDevice.call(this, descriptor);
  devices.push(device);
  return device;
};
addEventListener('message', ({ data }: MessageEvent) => {
  if (data === 'lose') devices.at(-1)!.destroy();
});
