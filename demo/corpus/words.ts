/** The slots of the corpus: common words, so that a small vocabulary holds each as one token. */

export const NAMES = (
  'Tom Mia Ben Lily Sam Anna Max Lucy Tim Ella Jack Rosa Leo Nora Finn Ruby Hugo Ivy Otto Emma Noah Zoe ' +
  'Adam Clara Oscar Molly Felix Daisy Luke Sara Theo Maya Peter Julia Omar Alice Ravi Nina Kofi Yuki'
).split(' ');

export const ANIMALS = (
  'fox bear cat dog mouse rabbit frog duck horse goat sheep lion tiger owl wolf deer pig cow hen turtle ' +
  'monkey panda zebra penguin'
).split(' ');

export const COLOURS = 'red blue green yellow white black brown pink grey purple orange golden'.split(' ');

/** Things as one and as many. */
export const THINGS = (
  'hat/hats ball/balls boat/boats book/books kite/kites drum/drums cup/cups lamp/lamps box/boxes bell/bells ' +
  'ring/rings coat/coats key/keys flag/flags stone/stones shell/shells basket/baskets chair/chairs ' +
  'bag/bags apple/apples flower/flowers feather/feathers button/buttons candle/candles'
)
  .split(' ')
  .map((pair) => pair.split('/') as [one: string, many: string]);

export const PLACES = (
  'in a forest,in a garden,in a cave,in a castle,in a barn,in a tower,in a village,in a tree,in a valley,' +
  'in a tent,by a river,by a lake,by the sea,by a road,by a bridge,on a hill,on a farm,on an island,' +
  'near a mill,near a market'
).split(',');

/** What they did, in the past tense. */
export const DEEDS = (
  'swam in the pond,ate some cake,sang a song,played a game,climbed a tree,painted a wall,baked some bread,' +
  'read a story,flew a kite,built a house,picked some berries,danced in the rain,looked at the stars,' +
  'dug a hole,washed the dishes,slept in the sun'
).split(',');

export const FEELINGS = 'happy sad tired hungry proud sleepy brave calm'.split(' ');

/** 0 to 20. */
export const NUMBERS = (
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen ' +
  'seventeen eighteen nineteen twenty'
).split(' ');

export const DAYS = 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split(' ');

export const MONTHS =
  'January February March April May June July August September October November December'.split(' ');

export const OPPOSITES = (
  'hot/cold big/small fast/slow up/down day/night old/young wet/dry open/closed full/empty long/short ' +
  'happy/sad light/dark left/right high/low hard/soft near/far good/bad loud/quiet first/last rich/poor ' +
  'thick/thin early/late clean/dirty strong/weak in/out yes/no black/white true/false'
)
  .split(' ')
  .map((pair) => pair.split('/') as [string, string]);

export const FOODS = 'bread cake soup cheese rice honey milk eggs carrots berries pears beans'.split(' ');

/** Short words to spell. */
export const SPELLED = [
  ...ANIMALS,
  ...THINGS.map(([one]) => one),
  ...COLOURS,
  'sun moon star tree rain snow home hand song door fish bird milk bread cake'.split(' '),
].flat();
