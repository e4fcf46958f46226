const files = import.meta.glob<string>('../../../shaders/train/{*,shared/*}.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** Texts of shaders/train/ by their names, as `train/adamw` or `shared/by_four`: they are no part of the engine. */
export const TRAIN_SHADERS: ReadonlyMap<string, string> = new Map(
  Object.entries(files).map(([path, text]) => {
    const [, name] = /shaders\/train\/(.*)\.wgsl$/.exec(path)!;
    return [name!.startsWith('shared/') ? name! : `train/${name}`, text];
  }),
);
