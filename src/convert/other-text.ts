/** Text of several kinds that no caller's text is likely to be of: instructions, talk, figures, code, a tale. Written for this project. */
export const OTHER_TEXT = `To mend a bicycle tyre, turn the bicycle upside down so that it rests on the saddle and the handlebars. Loosen the nuts on both sides
of the axle and lift the wheel out. Push the edge of the tyre over the rim with two flat levers, never with a screwdriver, which
would cut the tube. Pull the tube out, pump a little air into it and hold it under water: where bubbles rise, there is the hole. Dry
the place, rub it with sandpaper, and spread a thin layer of glue. Wait until it is no longer wet, then press the patch on for a
minute. Before you put the tube back, feel along the inside of the tyre for the thorn or the piece of glass that did the harm.

"You said that you would be here at six," said Martha. "It is nearly eight, and the soup is cold."
"I know. The train stood still outside the station for an hour. Nobody told us why."
"You could have called."
"My phone was empty. I am sorry, I really am. Is there any bread left?"
"In the cupboard, behind the flour. And take off your shoes, I washed the floor this morning."

Dear Mr Okafor,
thank you for your letter of 3 March. We have looked at the bill for January and found that you are right: the meter was read twice in the
same week, and you were asked to pay 48.20 for electricity that you had paid for already. The sum will be on your account within ten
days. Please keep this letter. If you have any further questions, our office is open from Monday to Friday between nine and five.
Yours sincerely, Ingrid Solheim, customer service

def mean(values):
    """The average of a list of numbers, or None where there are none."""
    if not values:
        return None
    total = 0
    for value in values:
        total += value
    return total / len(values)

The heart of an adult beats about seventy times a minute, which is a hundred thousand times a day. With each beat the left half pushes
blood into the large artery, from which it flows through smaller and smaller vessels to every part of the body. There it leaves
oxygen and sugar behind, and takes up what the cells do not need. On its way back it is dark. The right half sends it through the
lungs, where it becomes bright again. Between the chambers there are valves, thin flaps that let the blood pass in one direction
only; what the doctor hears through the stethoscope is the sound of their closing.

Once there was a miller who had three sons, a mill, a donkey and a cat. When he died, the eldest took the mill, the second the donkey,
and nothing was left for the youngest but the cat. "What shall I do with a cat?" he said. "If I have gloves made of its fur, there is
nothing left to eat." The cat had heard every word. "You need not kill me for a pair of bad gloves," it said. "Have boots made for me, so
that I can go out and be seen by people, and you will soon be helped." The miller's son wondered at this, but as the shoemaker was just
going by, he called him in. When the boots were ready, the cat put them on, took a sack, filled the bottom of it with corn, and went
out of the door on two legs, like a man.

Question: A farmer has 12 hens. Each hen lays 5 eggs a week. How many eggs does he have after three weeks?
Answer: In one week the hens lay 12 times 5, which is 60 eggs. In three weeks they lay 3 times 60, which is 180 eggs.

City        People      River
Budapest    1.7 million Danube
Cologne     1.1 million Rhine
Bordeaux    0.3 million Garonne
Seville     0.7 million Guadalquivir

A treaty is not a law, though both are written in numbered articles. A law binds those who live under it, whether they agreed to it or
not. A treaty binds only the states that have signed it, and in most countries it has to be approved by the parliament before it has any
force. Small states have often insisted on treaties, for what is written down can be read aloud to a larger neighbour. Whether
the neighbour listens is another matter.

The wind had gone round to the north by evening, and the boats came in early. From the wall one could see them one after the other round
the point, low in the water, with gulls behind them. Old Henrik counted under his breath, as he had done every evening for
forty years, although he had not been to sea himself since his knee was broken. Nine, ten, eleven. He waited. A woman next to him pulled
her scarf tighter and said nothing. Then the twelfth came round the rocks, without its sail, rowing, and somebody on the pier began to laugh.

Chop two onions and fry them slowly in butter until they are soft. Add a spoonful of flour and stir for a minute. Pour in half a litre of
milk, little by little, so that there are no lumps. Season with salt, pepper and a trace of nutmeg. Put the boiled potatoes, cut in
slices, into a flat dish, pour the sauce over them, cover with cheese, and bake for twenty minutes, until the top is brown.
`;
