/** The stand-in gateway's test cards, one for each way a payment can go. */

export interface Card {
  token: string;
  label: string;
  outcome: string;
}

export const CARDS: Card[] = [
  { token: "tok_visa", label: "Visa that works", outcome: "The payment succeeds." },
  { token: "tok_declined", label: "Declined", outcome: "The bank says no." },
  { token: "tok_insufficient_funds", label: "Insufficient funds", outcome: "The bank says no, and why." },
  { token: "tok_expired", label: "Expired card", outcome: "The bank says no, and why." },
  { token: "tok_slow", label: "Slow bank", outcome: "The answer takes two seconds." },
  { token: "tok_hang", label: "Answer lost", outcome: "Charged, but no answer comes: the outcome is asked for later." },
];
