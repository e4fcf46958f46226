/** The template itself is wrong, whatever the messages: its syntax, or a filter, test or function that there is not. */
export class TemplateFault extends Error {}

/** What the template says of messages that it refuses (`raise_exception`). */
export class Refusal extends Error {}
